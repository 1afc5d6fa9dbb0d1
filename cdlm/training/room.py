"""Room on the disk: looked for before a run begins, and explained where it ends in the middle of one."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from cdlm.training.checkpoint import complete_checkpoints

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CHECKPOINT = 4  # weights, their average and two moments, in fp32
_COPIES = 3 * _CHECKPOINT + 2  # two checkpoints and an export are kept, and each is replaced by one written beside it


def check_room(parameters: int, run: Path) -> None:
    """Whether the checkpoints and exports of a model of so many parameters fit, those counted that lie there already.

    Raises:
        OSError: they do not.
    """
    there = sum(file.stat().st_size for file in run.rglob("*.safetensors"))
    needed, free = 4 * _COPIES * parameters - there, shutil.disk_usage(run).free
    if free < needed:
        raise OSError(
            f"{run} has {free / 1e6:.1f} MB left, and the checkpoints of this run need {needed / 1e6:.1f} MB; free some space "
            "or choose another output="
        )


@contextmanager
def full_disk_explained(run: Path) -> Iterator[None]:
    """Say of a full disk, quota or file limit what is saved and how to go on.

    Raises:
        OSError: in place of the library's own error.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        if not _is_full(error):
            raise
        saved = complete_checkpoints(run)
        at = f"{saved[-1].name} is whole" if saved else "nothing was saved yet"
        raise OSError(
            f"no room left to write in {run} ({error}); {at}: free some space, then the same command goes on"
        ) from error


def _is_full(error: OSError | SafetensorError) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return any(f"os error {number}" in str(error) for number in _FULL)
