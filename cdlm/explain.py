"""What is wrong with a configuration, in a line that names the key and what to do."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

SUCH = {"data": "train: my-corpus.txt", "model": "max_length: 64", "train": "steps: 2000", "train.clocks": "gap: 0.1"}


def mistake(error: Mapping[str, Any], root: type[BaseModel]) -> str:
    """One of the mistakes that pydantic found in a configuration of this kind."""
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] in ("model_type", "model_attributes_type"):
        what = "is empty" if error["input"] is None else f"{error['input']!r} is no section"
        such = f" such as {SUCH[path]}" if path in SUCH else ""
        return f"{path}: {what}; write its keys below it,{such or ' one a line'}"
    if error["type"] != "extra_forbidden":
        return f"{path}: {error['msg']}" if path else str(error["msg"])
    known = _fields(error["loc"][:-1], root)
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {path}: {hint}"


def _fields(path: tuple[Any, ...], section: Any) -> list[str]:
    for part in path:
        section = section.model_fields[part].annotation
    return list(section.model_fields)
