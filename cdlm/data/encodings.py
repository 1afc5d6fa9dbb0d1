"""What to do about a text that is not UTF-8: its likely encodings, by what stands in it."""

SAMPLED = 20_000
"""Bytes of lines beyond ASCII that are looked at."""
KNOWN = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "iso8859_7", "cp1254", "cp1255", "cp1256"),
    *("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr"),
)
"""Those that are told apart; each is known to ``iconv`` under this name with hyphens."""
_SHOWN, _MOST = 24, 2


def advice(data: bytes) -> str:
    """How to make UTF-8 of a text, given bytes of it from its first bad line on."""
    strange = [line for line in data.splitlines()[:20_000] if not line.isascii()]
    bad = [line for line in strange if not _is_utf8(line)]
    if len(strange) > 10 * len(bad) > 0:
        return "the lines around it are UTF-8: mend or remove it"
    sample = b"\n".join(bad)[:SAMPLED]
    found = likely(sample.rpartition(b"\n")[0] or sample)
    if not found:
        return "convert it first, such as: iconv -f latin1 -t utf-8 old.txt > new.txt"
    read = " or ".join(f"{_iconv(name)} ({_excerpt(bad[0], name)!r})" for name in found)
    return f"it may be {read}; convert it first: iconv -f {_iconv(found[0])} -t utf-8 old.txt > new.txt"


def likely(sample: bytes) -> list[str]:
    """The likeliest encodings of a text that is not UTF-8, best first; one is left out where it reads the same."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 - only an error needs it

    names = [match.encoding for match in from_bytes(sample, cp_isolation=list(KNOWN))]
    texts = {name: sample.decode(name, "replace") for name in [*names, "cp1252"]}
    if "cp1252" in names or texts["cp1252"] in [texts[name] for name in names]:
        names = ["cp1252", *(n for n in names if n != "cp1252")]  # by far the most frequent of those that fit as well
    return [name for n, name in enumerate(names) if texts[name] not in [texts[other] for other in names[:n]]][:_MOST]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _excerpt(line: bytes, name: str) -> str:
    """What stands around the first letter beyond ASCII."""
    text = line.decode(name, "replace").strip()
    place = next((n for n, letter in enumerate(text) if not letter.isascii()), 0)
    return text[max(0, place - _SHOWN // 2) : place + _SHOWN // 2]


def _iconv(name: str) -> str:
    return name.replace("iso8859", "iso-8859").replace("_", "-")
