"""Text that others wrote, where Streamlit expects Markdown."""

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&@\"'^=/])")
LONGEST = 400


def plain(text: str) -> str:
    """The text with everything escaped that Markdown would read; cut where it is too long for a message."""
    cut = text if len(text) <= LONGEST else text[:LONGEST] + " …"
    return _SPECIAL.sub(r"\\\1", " ".join(cut.split()))
