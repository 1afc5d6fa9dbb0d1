"""Names of wishes where several of a kind stand side by side."""

from collections import Counter
from collections.abc import Iterable


def told_apart(names: Iterable[str]) -> list[str]:
    """The names in order, the second of a kind numbered: keywords, length, keywords 2."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} {seen[name]}" if seen[name] > 1 else name)
    return found
