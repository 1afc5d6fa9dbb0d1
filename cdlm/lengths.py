"""How long a text or a gap is likely to be: the corpus's histogram, and what a model's length head and its words say."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cdlm.control.layout import Context, Layout, Vocabulary
from cdlm.diffusion.length import LengthHead
from cdlm.diffusion.model import DiffusionLM
from cdlm.word_lengths import Named, WordLengths

HEAD_FILE, HEAD_CONFIG = "length_head.safetensors", "length_head.json"
GAP = -1


class LengthHeadError(ValueError):
    """A model folder whose length head is missing or damaged; the message names the file and the fix."""


@dataclass(frozen=True)
class LengthModel:
    """Weights over lengths in words.

    Attributes:
        counts: how many training texts had n words, index n; those with more words than the model holds count as full ones.
        head: P(gap length | context); None falls back on the histogram.
        words: P(word in the text | n words); None falls back on a general rule.
    """

    counts: np.ndarray
    head: LengthHead | None = None
    words: WordLengths | None = None

    @classmethod
    def from_counts(
        cls, counts: Sequence[int] | None, head: LengthHead | None = None, words: WordLengths | None = None
    ) -> "LengthModel":
        """From a histogram; an empty one stands for a flat prior up to 30 words."""
        return cls(np.asarray(counts or [0, *([1] * 30)], dtype=float), head, words)

    @classmethod
    def from_folder(cls, folder: Path, counts: Sequence[int] | None) -> "LengthModel":
        """With the head and the counts of words that the model folder ships, if it does.

        Raises:
            LengthHeadError: the folder says that it ships one, which is missing or damaged.
            ValueError: the counts of words are damaged.
        """
        words = WordLengths.load(folder)
        if not (folder / HEAD_CONFIG).is_file():
            return cls.from_counts(counts, None, words)
        return cls.from_counts(counts, _read_head(folder), words)

    @property
    def fingerprint(self) -> str:
        """sha256 over the histogram, the counts of words and the head's weights as they are shipped (fp16)."""
        digest = hashlib.sha256(np.asarray(self.counts, dtype=float).tobytes())
        for name, value in sorted(self.head.state_dict().items()) if self.head else ():
            digest.update(name.encode() + value.half().cpu().contiguous().numpy().tobytes())
        for table in (self.words.counts, self.words.texts) if self.words else ():
            digest.update(table.astype(np.int32).tobytes())
        return digest.hexdigest()

    def save(self, folder: Path, embedding_dim: int) -> None:
        """Write the counts of words and the head, in fp16, beside the model."""
        if self.words is not None:
            self.words.save(folder)
        if self.head is None:
            return
        save_file({k: v.half().contiguous() for k, v in self.head.state_dict().items()}, folder / HEAD_FILE)
        settings = {"embedding_dim": embedding_dim, "max_length": self.head.max_length}
        (folder / HEAD_CONFIG).write_text(json.dumps(settings, indent=2) + "\n")

    def holding(self, layout: Layout, vocabulary: Vocabulary, source: Sequence[int] = ()) -> Layout:
        """The layout leaning towards the lengths of texts that hold its phrases.

        What stands in the source, too, says nothing that P(length | source) does not know.
        """
        encoded = [(phrase, vocabulary.encode(phrase.text)) for phrase in layout.phrases]
        new = [(phrase, ids) for phrase, ids in encoded if not set(ids) <= set(source)]
        if not new:
            return layout
        named = Named([ids for _, ids in new], sum(len(phrase.pieces) for phrase, _ in new), layout.context_words)
        return layout.lean(named.log_likelihood(layout.high, self.words))

    def gap_weights(self, layout: Layout, model: DiffusionLM, source: Sequence[int] = ()) -> list[np.ndarray]:
        """One array per gap, index = words; ``source`` is what the text is written from, as token ids."""
        if source and model.length_head is not None:
            return LengthModel(words_given(model, source)).gap_weights(layout, model)
        if not layout.template:
            return [self._within(model) for _ in layout.gaps]
        if self.head is None:
            known = LengthModel(self._within(model))
            return [known.prior(layout.context_words, len(layout.gaps)) for _ in layout.gaps]
        return self._from_head(layout, model)

    def _within(self, model: DiffusionLM) -> np.ndarray:
        """The counts of a model that holds fewer words than its longest texts have."""
        room = model.config.max_length - 2
        return self.counts if len(self.counts) <= room + 1 else np.append(self.counts[:room], self.counts[room:].sum())

    def prior(self, context_words: int, gaps: int) -> np.ndarray:
        """What the histogram alone says of a gap: text length minus context, shared by all gaps, which need not be equal."""
        middle = context_words + gaps * np.arange(len(self.counts))
        return np.array([self.counts[max(0, i - gaps + 1) : i + gaps].sum() for i in middle])

    @torch.no_grad()
    def _from_head(self, layout: Layout, model: DiffusionLM) -> list[np.ndarray]:
        assert self.head is not None
        sequence = [2, *(i for p in layout.pieces for i in (p.ids if isinstance(p, Context) else (GAP,))), 3]
        ids = torch.tensor([sequence], device=model.device)
        gaps = ids == GAP
        logits = self.head.to(model.device)(model.embed(ids.clamp(min=0)), gaps, torch.ones_like(gaps))
        return list(logits[0][gaps[0]].softmax(-1).cpu().double().numpy())


def _read_head(folder: Path) -> LengthHead:
    """The head of a folder that says it has one."""
    fix = f"copy it again, or remove {HEAD_CONFIG}: lengths then follow the corpus's alone"
    if not (folder / HEAD_FILE).is_file():
        raise LengthHeadError(f"{folder} holds {HEAD_CONFIG} but no {HEAD_FILE}, the weights of its length head; {fix}")
    try:
        settings = json.loads((folder / HEAD_CONFIG).read_text(encoding="utf-8"))
        head = LengthHead(settings["embedding_dim"], settings["max_length"])
        head.load_state_dict({k: v.float() for k, v in load_file(folder / HEAD_FILE).items()})
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise LengthHeadError(f"the length head in {folder} cannot be read ({why}); {fix}") from None
    return head.eval()


@torch.no_grad()
def tokens_given(model: DiffusionLM, source: Sequence[int]) -> np.ndarray:
    """P(n tokens | source), index n; at least one, and no more than the model has room for."""
    ids = torch.tensor([list(source)], device=model.device)
    logits = model.length_logits(ids, torch.ones_like(ids, dtype=torch.bool))[0, 1 : model.config.max_length - 1]
    weights: np.ndarray = np.append(0.0, logits.double().softmax(-1).cpu().numpy())
    return weights


def words_given(model: DiffusionLM, source: Sequence[int]) -> np.ndarray:
    """P(n words | source), index n: that of its tokens, with as many tokens a word as the corpus has on average."""
    weights = tokens_given(model, source)[1:]
    pieces = np.array(model.config.piece_counts or [0, 1], dtype=float)
    a_word = (pieces * np.arange(len(pieces))).sum() / pieces.sum()
    words = np.maximum(1, np.round(np.arange(1, len(weights) + 1) / a_word)).astype(int)
    return np.bincount(words, weights=weights)
