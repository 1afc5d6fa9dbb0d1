"""Pipeline: load a model once; generate, infill, edit, score, stream."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cdlm.blocks import block_size
from cdlm.choosing import MOST_INDEX, Choosing, OnPart, OnUnsatisfied, check_modes, check_top
from cdlm.control.controller import Controller, Verdict, WishError, conflicts, contradictions
from cdlm.control.layout import Layout
from cdlm.data.tokenizer import TextTokenizer
from cdlm.diffusion.model import DiffusionLM
from cdlm.editing import Edit
from cdlm.frontier import Frontier, general
from cdlm.hub import find_model, load_model, place_model, save_model
from cdlm.lengths import LengthModel
from cdlm.long_texts import limited
from cdlm.output import Output, TextFrame
from cdlm.sampling.loop import EarlyStop
from cdlm.sampling.randomness import LARGEST_SEED
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.select import Select
from cdlm.sampling.steering import Steering
from cdlm.scoring import Score, check_texts, score_texts
from cdlm.settings import (
    INFILL_STEPS,
    Settings,
    block_settings,
    check_counts,
    infill_sampler,
    known_options,
    resolve,
    whole,
)
from cdlm.shelf import HEADS_FOLDER, HeadShelf
from cdlm.sources import read_sources
from cdlm.templates import template_wish
from cdlm.watching import Watcher
from cdlm.writing import Writer


class Pipeline:
    """A model that writes under constraints.

    >>> pipe = Pipeline.from_pretrained("e2e")  # doctest: +SKIP
    >>> pipe.generate(2, controllers=[Length(12)], seed=0).texts  # doctest: +SKIP
    """

    def __init__(
        self,
        model: DiffusionLM,
        tokenizer: TextTokenizer,
        lengths: LengthModel | None = None,
        heads: Path | None = None,
        frontier: Frontier | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.frontier = frontier or general()
        model.train(False)
        self.lengths = lengths or LengthModel.from_counts(model.config.length_counts)
        self.heads = HeadShelf(model, tokenizer.fingerprint, heads)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str = "auto", dtype: str = "auto") -> "Pipeline":
        """Load a bundled name, a folder or a Hub id.

        Args:
            device, dtype: see :func:`cdlm.hub.place_model`; the same seed gives the same texts for one device and dtype.

        Raises:
            ModelNotFound: nothing usable there; the message says what is missing.
            LengthHeadError: the folder names a length head that is missing or damaged.
        """
        folder = find_model(name)
        model = place_model(load_model(folder), device, dtype)
        tokenizer = TextTokenizer.from_pretrained(folder)
        lengths = LengthModel.from_folder(folder, model.config.length_counts)
        return cls(model, tokenizer, lengths, folder / HEADS_FOLDER, Frontier.from_folder(folder))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model folder in one step."""
        own = None if self.frontier == general() else self.frontier
        save_model(self.model, self.tokenizer, Path(folder), lengths=self.lengths, frontier=own)

    @property
    def default_settings(self) -> Settings:
        """Sampler, steering and steps that the bundled benchmark chose."""
        return Settings(temperature=self.model.config.free_temperature)

    def generate(  # noqa: PLR0913 - the public face; every argument has a default
        self,
        count: int = 1,
        *,
        source: str | Sequence[str] | None = None,
        controllers: Sequence[Controller] = (),
        max_new_tokens: int | None = None,
        block_length: int | None = None,
        guidance_scale: float = 1.0,
        num_inference_steps: int | None = None,
        seed: int = 0,
        sampler: Sampler | str | None = None,
        steering: Steering | str | None = None,
        temperature: float | None = None,
        early_stop: EarlyStop | bool = False,
        num_candidates: int = 1,
        select: Select = "best",
        return_top: int | None = None,
        on_unsatisfied: OnUnsatisfied = "return",
        batch_size: int = 64,
        callback_on_step_end: Watcher | None = None,
        callback_on_part: OnPart | None = None,
    ) -> Output:
        """Write ``count`` texts that obey the controllers.

        Args:
            source: what the texts are written from, for a model trained with sources; of a list, ``count`` texts each, in order.
            max_new_tokens: most tokens of a text. What fits one canvas is written on one; what does not, block by block, see
                :class:`cdlm.blocks.BlockWriter`: the text ends where the model says so, as likely as the corpus's lengths and
                the wishes about length make it. Length and Keywords work there; other wishes speak of a text as a whole.
            block_length: open positions of a block of such a text.
            guidance_scale: how closely a source is followed: 1 as the model learnt it, above 1 more, 0 not at all.
            num_inference_steps: network evaluations per text, at most; of a long text per ``block_length`` positions. Sampler and
                temperature follow it, unless a sampler is given: see :mod:`cdlm.frontier`.
            seed: the same seed gives the same texts, whatever the batch.
            num_candidates, select: write several per text, keep the best by judges and plausibility, or the consensus (``mbr``).
            return_top: only the best so many of the texts that differ from each other; see
                :meth:`cdlm.choosing.Choosing.different` for what is done where they are too few.
            on_unsatisfied: return as is, write again (up to 8 times), or raise ``Unsatisfied``.
            callback_on_step_end: is shown every step; what it raises ends the run.
            callback_on_part: is given each part of the texts as soon as it is finished; what it raises ends the run.

        Raises:
            WishError, LayoutError: wishes that cannot be met, or a source that the model cannot read, before any sampling.
            Unsatisfied: with ``on_unsatisfied="raise"``.
        """
        check_counts(count=count, num_candidates=num_candidates, batch_size=batch_size)
        check_counts(**{} if return_top is None else {"return_top": return_top})
        check_top(return_top, count, source)
        check_modes(select, on_unsatisfied)
        seed = whole("seed", seed, LARGEST_SEED)
        controllers = self._bound(controllers)
        block = block_size(self.model, max_new_tokens, block_length)
        options: dict[str, Any] = {
            "num_inference_steps": num_inference_steps,
            "sampler": sampler,
            "steering": steering,
            "temperature": temperature,
            "guidance_scale": guidance_scale,
            "early_stop": early_stop,
            "batch_size": batch_size,
            "callback_on_step_end": callback_on_step_end,
        }
        settings, on_canvas = self._settings(controllers, block, **options), self._settings(controllers, **options)
        writer = limited(self._given(source, settings, count), max_new_tokens, block, on_canvas)
        write = partial(writer.write, controllers=controllers, settings=settings, seed=seed)
        choosing = Choosing(write, int(num_candidates), select, on_unsatisfied)
        if return_top is not None:
            return choosing.different(int(return_top), writer.sources.texts, callback_on_part)
        return choosing.output(writer.sources.texts, callback_on_part)

    def infill(  # noqa: PLR0913 - every argument but the template has a default
        self,
        template: str,
        *,
        gaps: Mapping[str, Any] | None = None,
        count: int | None = None,
        controllers: Sequence[Controller] = (),
        num_candidates: int = 1,
        return_top: int | None = None,
        num_inference_steps: int | None = None,
        **options: Any,
    ) -> Output:
        """Fill the gaps of ``template`` (``[3]``, ``[1-4]``, ``[*]``, with a name ``[*:price]``); the context stays as typed.

        Args:
            gaps: what named gaps hold: a controller such as ``Regex``, or as plain values an expression, a list of texts to
                choose from, or a JSON schema.
            return_top: how many of the ``num_candidates`` to return, best first and no two alike. Other options as in
                :meth:`generate`.
        """
        wishes = [template_wish(template, gaps), *controllers]
        options["sampler"] = options.get("sampler") or infill_sampler(self.plan(wishes))
        steps = INFILL_STEPS if num_inference_steps is None else num_inference_steps
        if return_top is None:
            return self.generate(
                count or 1, controllers=wishes, num_candidates=num_candidates, num_inference_steps=steps, **options
            )
        if count is not None:
            raise WishError(f"count={count} and return_top={return_top}: give one of them")
        check_counts(num_candidates=num_candidates)
        options |= {"return_top": return_top, "num_inference_steps": steps}
        return self.generate(num_candidates, controllers=wishes, **options)

    def edit(
        self,
        text: str,
        strength: float = 0.5,
        *,
        source: str | Sequence[str] | None = None,
        controllers: Sequence[Controller] = (),
        count: int = 1,
        **options: Any,
    ) -> Output:
        """Rewrite ``text`` from clock ``strength``: 0 returns it unchanged, 1 keeps nothing but its length and unknown words.

        Raises:
            WishError: strength outside [0, 1], an empty or too long text, or wishes that change the length.
        """
        check_counts(count=count)
        controllers = self._bound(controllers)
        edit = Edit.of(text, strength, self.tokenizer, self.model.config.max_length)
        seed, mode = whole("seed", options.pop("seed", 0), LARGEST_SEED), options.pop("on_unsatisfied", "return")
        tell = options.pop("callback_on_part", None)
        settings = self._settings(controllers, **known_options("edit", options))
        check_modes(on_unsatisfied=mode)
        writer = self._given(source, settings, count)
        write = partial(edit.write, writer, controllers=controllers, settings=settings, seed=seed)
        return Choosing(write, on_unsatisfied=mode).output(writer.sources.texts, tell)

    def judge(self, texts: Sequence[str], controllers: Sequence[Controller]) -> list[list[Verdict]]:
        """For every text one verdict per controller, from the text alone.

        Raises:
            WishError: ``texts`` is one text, not a list.
        """
        check_texts("judge", texts)
        wishes = self._bound(controllers)
        return [[wish.judge(text, self.tokenizer) for wish in wishes] for text in texts]

    def score(
        self, texts: Sequence[str], *, source: Sequence[str] | None = None, draws: int = 32, seed: int = 0
    ) -> list[Score]:
        """A variational bound on -log P(text | its length and source), per token; ``source`` holds one for every text.

        Raises:
            WishError: see :func:`cdlm.scoring.score_texts`.
        """
        check_texts("score", texts)
        seed = whole("seed", seed, LARGEST_SEED)
        sources = read_sources(source, self.model, self.tokenizer)
        return score_texts(self.model, self.tokenizer, texts, sources=sources.ids, draws=draws, seed=seed)

    def stream(  # noqa: PLR0913 - what generate has, for one text
        self,
        *,
        source: str | Sequence[str] | None = None,
        count: int = 1,
        controllers: Sequence[Controller] = (),
        seed: int = 0,
        index: int = 0,
        max_new_tokens: int | None = None,
        block_length: int | None = None,
        **options: Any,
    ) -> Iterator[TextFrame]:
        """Write one text and yield every step; the last frame's text is what :meth:`generate` gives for that index.

        With several sources ``index`` counts on through ``count`` texts of each. Steps of a long text are counted by block.

        Raises:
            WishError: see :meth:`generate`; or ``index`` is no number of a text.
        """
        check_counts(count=count)
        index, seed = whole("index", index, MOST_INDEX), whole("seed", seed, LARGEST_SEED)
        controllers = self._bound(controllers)
        block = block_size(self.model, max_new_tokens, block_length)
        options = known_options("stream", options)
        settings, on_canvas = self._settings(controllers, block, **options), self._settings(controllers, **options)
        writer = limited(self._given(source, settings, count), max_new_tokens, block, on_canvas)
        yield from writer.stream(index, controllers, settings, seed)

    def plan(self, controllers: Sequence[Controller]) -> Layout:
        """What the wishes leave open: context, gaps and lengths, before anything is drawn."""
        return self._writer.plan(self._bound(controllers), np.random.default_rng(0))

    def _bound(self, controllers: Sequence[Controller]) -> list[Controller]:
        """The wishes with the heads that they need."""
        conflicts(controllers)
        bound = [wish.bind(self.heads, self.tokenizer) for wish in controllers]
        contradictions(bound)
        return bound

    def _settings(self, controllers: Sequence[Controller], block: int | None = None, **options: Any) -> Settings:
        """How a request is sampled, with the temperature that this model likes where none is asked for."""
        base = None if block is None else block_settings(block)
        temperature = self.model.config.free_temperature
        return resolve(controllers, temperature, base=base, frontier=self.frontier, **options)

    def _given(self, source: str | Sequence[str] | None, settings: Settings, count: int = 1) -> Writer:
        """The writer of a request, with what it writes from."""
        scale = settings.guidance_scale
        sources = read_sources(source, self.model, self.tokenizer, count=int(count), guidance_scale=scale)
        return replace(self._writer, sources=sources)

    @property
    def _writer(self) -> Writer:
        return Writer(self.model, self.tokenizer, self.lengths)
