"""A request as a plain value: what the app, share links, batch files and generated programs all speak of."""

import base64
import binascii
import hashlib
import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from cdlm.control.controller import Controller
from cdlm.control.fields import build_wish, typed_fields
from cdlm.output import Output
from cdlm.pipeline import Pipeline
from cdlm.service.limits import (
    LARGEST_SEED,
    MOST_STEPS,
    MOST_TEXTS,
    MOST_WISHES,
    RequestError,
    check_text,
    strings_in,
)
from cdlm.settings import INFILL_STEPS, default_settings
from cdlm.templates import template_wish
from cdlm.watching import Watcher

Verb = Literal["generate", "infill", "edit"]
_LONGEST_LINK = 20_000
BATCH = 16
"""Texts side by side: few enough that a step of them takes a fraction of a second; the texts do not depend on it."""


@dataclass(frozen=True)
class Wish:
    """A controller by name, with the values of its fields."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)

    def build(self) -> Controller:
        """The controller itself.

        Raises:
            ValueError: no such controller, or fields that it does not take.
        """
        return build_wish(self.name, self.fields)

    def typed(self) -> "Wish":
        """The same with values of the kinds that the controller's fields have.

        Raises:
            ValueError: no such controller, or fields that it does not take.
        """
        return Wish(self.name, to_jsonable_python(typed_fields(self.name, self.fields)))


@dataclass(frozen=True)
class Call:
    """The call of a ``Pipeline`` method that a request stands for; controllers are left out."""

    method: Verb
    positional: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What is asked of a model.

    Attributes:
        text: the template of an infilling, the text of an edit. strength: of an edit.
        count: texts that are returned; for infilling the best of all ``candidates`` that differ, as many as there are,
            otherwise each is the best of so many. steps: network evaluations per text; None: the default for such wishes.
        id: what its author calls it in a file of many; it changes no text.
        source: what the texts are written from, for a model trained with sources. guidance_scale: how closely it is followed.
        gaps: what named gaps of a template hold: an expression, a list of texts to choose from, or a JSON schema.
    """

    verb: Verb = "generate"
    model: str = "e2e"
    text: str = ""
    wishes: tuple[Wish, ...] = ()
    count: int = 4
    candidates: int = 1
    seed: int = 0
    steps: int | None = None
    strength: float = 0.5
    steering: str | None = None
    sampler: str | None = None
    source: str | None = None
    guidance_scale: float = 1.0
    id: str = ""
    gaps: dict[str, Any] | None = None

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def plain(self) -> dict[str, Any]:
        """As JSON; what equals the default is left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["wishes"] = [{"name": w.name, "fields": w.fields} for w in self.wishes]
        return {f.name: values[f.name] for f in fields(self) if values[f.name] not in (f.default, [])}

    @property
    def digest(self) -> str:
        """Of everything that its texts follow from; equal for requests that ask for the same."""
        return hashlib.sha256(json.dumps(replace(self, id="").plain(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Request":
        """Read what :meth:`plain` wrote.

        Raises:
            RequestError: a stray field or a value of the wrong kind.
        """
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "request"
            raise RequestError(f"{place}: {first['msg']}") from None

    def link(self) -> str:
        """A short text for a URL."""
        packed = zlib.compress(json.dumps(self.plain(), separators=(",", ":")).encode(), 9)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def from_link(cls, text: str) -> "Request":
        """Read what :meth:`link` wrote.

        Raises:
            RequestError: it is none, or too long.
        """
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            opened = zlib.decompressobj()
            values = json.loads(opened.decompress(packed, _LONGEST_LINK))
        except (binascii.Error, zlib.error, ValueError, RecursionError):
            raise RequestError("this link holds no request that can be read") from None
        if not isinstance(values, dict):
            raise RequestError("this link holds no request that can be read")
        return cls.from_plain(values)

    def typed(self) -> "Request":
        """The same with every field of a wish as its controller takes it; for requests that somebody wrote by hand.

        Raises:
            ValueError: no such controller, or fields that it does not take.
        """
        return replace(self, wishes=tuple(wish.typed() for wish in self.wishes))

    def check(self) -> None:
        """Refuse what is too large or cannot be meant, before a model sees it.

        Raises:
            RequestError: says what came and what is allowed.
        """
        check_text(self.text, {"infill": "the template", "edit": "the text"}.get(self.verb, "the text"))
        check_text(self.source or "", "the source")
        if self.verb != "generate" and not self.text.strip():
            raise RequestError({"infill": "type a template with a gap first", "edit": "type a text first"}[self.verb])
        for wish in self.wishes:
            for text in strings_in(wish.fields):
                check_text(text, f"a field of {wish.name}")
        for text in strings_in(self.gaps or {}):
            check_text(text, "what a gap holds")
        if self.gaps and self.verb != "infill":
            raise RequestError(f"gaps are those of a template; {self.verb} has none")
        self._check_counts()

    def _check_counts(self) -> None:
        limits = {"count": MOST_TEXTS, "candidates": MOST_TEXTS, "steps": MOST_STEPS}
        for name, most in limits.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise RequestError(f"{name} goes from 1 to {most}, not {value}")
        if self.texts > MOST_TEXTS:
            raise RequestError(f"{self.texts} texts would be written; at most {MOST_TEXTS} at once")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RequestError(f"seed goes from 0 to {LARGEST_SEED}, not {self.seed}")
        if not 0 <= self.strength <= 1:
            raise RequestError(f"strength goes from 0 to 1, not {self.strength:g}")
        if not (math.isfinite(self.guidance_scale) and self.guidance_scale >= 0):
            raise RequestError(f"guidance_scale is a number of 0 or more, not {self.guidance_scale:g}")
        if len(self.wishes) > MOST_WISHES:
            raise RequestError(f"{len(self.wishes)} wishes; at most {MOST_WISHES} are followed at once")

    @property
    def texts(self) -> int:
        """Texts that are written, candidates included."""
        if self.verb == "infill":
            return max(self.candidates, self.count)
        return self.count * (self.candidates if self.verb == "generate" else 1)

    def steps_of(self, controllers: list[Controller]) -> int:
        """Network evaluations per text."""
        return self.steps or (
            INFILL_STEPS if self.verb == "infill" else default_settings(controllers).num_inference_steps
        )

    def call(self) -> Call:
        """The method of a pipeline, and its arguments."""
        keywords: dict[str, Any] = {"seed": self.seed}
        if self.steps is not None:
            keywords["num_inference_steps"] = self.steps
        chosen = {"steering": self.steering, "sampler": self.sampler, "source": self.source, "gaps": self.gaps}
        keywords |= {name: value for name, value in chosen.items() if value is not None}
        if self.guidance_scale != 1:
            keywords["guidance_scale"] = self.guidance_scale
        if self.verb == "infill":
            return Call("infill", (self.text,), {"num_candidates": self.texts, "return_top": self.count, **keywords})
        if self.verb == "edit":
            return Call("edit", (self.text, self.strength), {"count": self.count, **keywords})
        many = {"num_candidates": self.candidates} if self.candidates > 1 else {}
        return Call("generate", (self.count,), {**many, **keywords})

    def controllers(self) -> list[Controller]:
        """The wishes, built.

        Raises:
            ValueError: one that cannot be.
        """
        return [wish.build() for wish in self.wishes]

    def judged(self) -> list[Controller]:
        """The wishes and, for infilling, the template: in the order of a text's verdicts."""
        return [*([template_wish(self.text, self.gaps)] if self.verb == "infill" else []), *self.controllers()]

    def run(self, pipe: Pipeline, watcher: Watcher | None = None) -> Output:
        """Write what is asked for.

        Raises:
            ValueError: a request or a wish that cannot be met.
        """
        self.check()
        call = self.call()
        methods: dict[str, Callable[..., Output]] = {
            "generate": pipe.generate,
            "infill": pipe.infill,
            "edit": pipe.edit,
        }
        options = {
            "controllers": self.controllers(),
            "callback_on_step_end": watcher,
            "batch_size": BATCH,
            **call.keywords,
        }
        return methods[call.method](*call.positional, **options)

    def with_field(self, place: int, name: str, value: Any) -> "Request":
        """The same with one field of one wish changed."""
        changed = [Wish(w.name, {**w.fields, name: value}) if n == place else w for n, w in enumerate(self.wishes)]
        return replace(self, wishes=tuple(changed))
