"""Characters of scripts that are written without blanks between words, and those that make one character of several."""

import re

UNSPACED = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # CJK
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
    "\u0e01-\u0e3a\u0e40-\u0e5b\u0e80-\u0eff"  # Thai (its currency sign aside) and Lao
    "\u0f00-\u0fff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u19e0-\u19ff"  # Tibetan, Myanmar, Khmer
)
"""As in the brackets of a regular expression, of Python or of `tokenizers`."""
WIDE = "\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
"""Full-width marks, which stand without a blank on either side."""

BEGINS_UNSPACED = re.compile(f"[{UNSPACED}]")
TIGHT = re.compile(f"[{UNSPACED}{WIDE}]")
"""What a word begins with that needs no blank before it."""


def unspaced(word: str) -> bool:
    """Whether the word is a character of a script without blanks."""
    return BEGINS_UNSPACED.match(word) is not None
