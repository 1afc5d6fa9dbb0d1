"""The baselines by name, and what each of them answers."""

from collections.abc import Iterable

CONTROL = ("length", "attribute", "pos", "spans", "tree", "composition")
SERVES: dict[str, tuple[str, ...]] = {
    "diffusion-lm": (*CONTROL, "infilling"),
    "ar": CONTROL,
    "fudge": CONTROL,
    "ft": (*CONTROL, "infilling"),
    "ft-search": CONTROL,
}
"""Baselines, and the tasks of the suite that they answer."""
SLOW = ("diffusion-lm",)
"""Those that need over a second a text."""


def check_names(names: Iterable[str]) -> list[str]:
    """Names of baselines in their order; ``all`` is every one.

    Raises:
        ValueError: an unknown one.
    """
    given = list(names)
    unknown = [name for name in given if name not in (*SERVES, "all")]
    if unknown:
        raise ValueError(f"no baseline {unknown[0]!r}; baselines: all, {', '.join(SERVES)}")
    return [name for name in SERVES if name in given or "all" in given]
