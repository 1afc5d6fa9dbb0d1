"""Heads on disk: a folder each, bound by a fingerprint to the model that it reads."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cdlm.control.controller import WishError
from cdlm.control.heads import Head, make_head
from cdlm.control.reading import HeadConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.quantized import dequantized, quantized
from cdlm.files import write_folder, write_json

HEADS_FOLDER = "heads"
CONFIG, WEIGHTS = "head.json", "head.safetensors"
_UNUSABLE = (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, AssertionError, StopIteration)


@dataclass
class HeadShelf:
    """The heads of one model: those in ``folder``, and any that a wish names."""

    model: DiffusionLM
    tokenizer: str
    folder: Path | None = None
    _loaded: dict[str, Head] = field(default_factory=dict)
    _fingerprint: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the model; made once, when a head is first asked for."""
        self._fingerprint = self._fingerprint or model_fingerprint(self.model, self.tokenizer)
        return self._fingerprint

    @property
    def tasks(self) -> list[str]:
        """Heads that the model brings along."""
        return sorted(p.parent.name for p in self.folder.glob(f"*/{CONFIG}")) if self.folder else []

    def find(self, task: str, source: str | Path | Head | None = None) -> Head:
        """The head of a task, or ``source``: one at hand, or the folder of one, loaded once.

        Raises:
            WishError: there is none, it cannot be read, or it reads another model.
        """
        if isinstance(source, Head):
            return self._own(source, "the head")
        folder = Path(source) if source else self.folder and self.folder / task
        if folder is None or not (folder / CONFIG).is_file():
            have = f"it has: {', '.join(self.tasks)}" if self.tasks else "it has none"
            where = f"no head at {folder}" if source else f"this model has no head for {task} ({have})"
            raise WishError(f"{where}; train one: cdlm train-controller --task {task} --data … --out …")
        key = str(folder.resolve())
        if key not in self._loaded:
            self._loaded[key] = self._load(folder)
        return self._loaded[key]

    def _load(self, folder: Path) -> Head:
        return self._own(load_head(folder), f"the head in {folder}").to(self.model.device)

    def _own(self, head: Head, called: str) -> Head:
        """The head, if it reads this model."""
        if head.config.model != self.fingerprint:
            raise WishError(
                f"{called} reads another model (its fingerprint is {head.config.model[:12]}, this model's "
                f"{self.fingerprint[:12]}); train it again on this one: cdlm train-controller"
            )
        return head


def load_head(folder: Path) -> Head:
    """A head from disk, whatever model it belongs to.

    Raises:
        WishError: incomplete or damaged.
    """
    try:
        config = HeadConfig.from_plain(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        head = make_head(config)
        head.load_state_dict(dequantized(load_file(folder / WEIGHTS)))
    except (*_UNUSABLE, SafetensorError) as error:
        raise WishError(f"the head in {folder} cannot be loaded, it is incomplete or damaged: {error}") from None
    return head.eval().requires_grad_(False)


def save_head(head: Head, folder: Path, *, dtype: str = "float16") -> None:
    """Write a head's folder in one step; ``dtype`` of its weights is float16, or int8 with one scale a row: half the size.

    Raises:
        ValueError: ``folder`` holds something else, which would be lost.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds other files; give a new folder, or one that holds a head to be replaced")

    def fill(beside: Path) -> None:
        state = {name: value.half().contiguous().cpu() for name, value in head.state_dict().items()}
        kept = quantized(state, {name for name, _ in head.named_parameters()}) if dtype == "int8" else state
        save_file(kept, beside / WEIGHTS)
        write_json(beside / CONFIG, head.config.plain())

    write_folder(folder, fill)


def model_fingerprint(model: DiffusionLM, tokenizer: str) -> str:
    """sha256 over all weights as they are shipped (bf16), the clock and the tokenizer's fingerprint."""
    digest = hashlib.sha256(tokenizer.encode())
    parameters = dict(model.named_parameters())
    for name, value in sorted(model.state_dict().items()):
        kept = value.to(torch.bfloat16).float() if name in parameters else value.float()
        digest.update(name.encode() + kept.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
