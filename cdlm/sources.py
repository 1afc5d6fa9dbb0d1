"""Source texts of a request: what is written from what, read and checked before any sampling."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdlm.control.controller import WishError
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """Texts to be written from, as token ids; none for a request without.

    Attributes:
        ids: one entry per source. count: texts that are written of each; text ``n`` belongs to source ``n // count``.
    """

    ids: tuple[tuple[int, ...], ...] = ()
    count: int = 1

    @property
    def texts(self) -> int:
        """Texts that are written in all."""
        return self.count * max(1, len(self.ids))

    def of(self, index: int) -> tuple[int, ...]:
        """What text ``index`` is written from; empty where nothing is."""
        return self.ids[index // self.count % len(self.ids)] if self.ids else ()


def read_sources(
    source: Any,
    model: DiffusionLM,
    vocabulary: Vocabulary,
    *,
    count: int = 1,
    guidance_scale: float = 1.0,
) -> Sources:
    """The sources of a request, as the model reads them; none where ``guidance_scale`` is 0.

    Raises:
        WishError: a source for a model that reads none, none for a model that needs one, a source without a word or longer
            than the model reads, or guidance that the model was not trained for.
    """
    texts = [source] if isinstance(source, str) else source if source is not None else []
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise WishError(f"source is a text or a list of texts, not {source!r}")
    _check_model(source is not None, model, guidance_scale)
    if source is not None and not texts:
        raise WishError("source is an empty list; give a text, or leave it out")
    ids = tuple(_read(text, model.config.max_source_length, vocabulary) for text in texts)
    return Sources(() if guidance_scale == 0 else ids, count * len(ids) if guidance_scale == 0 and ids else count)


def _check_model(given: bool, model: DiffusionLM, guidance_scale: float) -> None:
    config = model.config
    if given and not config.max_source_length:
        raise WishError("this model reads no source; train one that does (data.source_column), or leave source out")
    if not given and config.max_source_length and not config.source_dropout:
        raise WishError("this model writes from a source: give source=…, on the command line --source")
    if guidance_scale == 1:
        return
    if not given:
        raise WishError(f"guidance_scale={guidance_scale} says how closely a source is followed; give a source too")
    if not config.source_dropout:
        raise WishError(
            f"guidance_scale={guidance_scale} needs a model that also learnt to write without a source; train one with "
            "train.source_dropout=0.1"
        )


def _read(text: str, room: int, vocabulary: Vocabulary) -> tuple[int, ...]:
    ids = tuple(vocabulary.encode(text))
    if not ids:
        raise WishError(f"source {text!r} has no word")
    if len(ids) > room:
        raise WishError(f"source {text[:40]!r} … has {len(ids)} tokens, this model reads {room}; shorten it")
    if vocabulary.unk_id in ids:
        unknown = dict.fromkeys(span.text for span in vocabulary.spans(text) if not span.known)
        logger.warning("the model does not know these words of the source: %s", ", ".join(unknown))
    return ids
