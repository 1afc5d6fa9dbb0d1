"""Small models that were really trained, and what can be asked of each: texts, templates, sources, wishes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cdlm.control.controller import Controller
from cdlm.pipeline import Pipeline
from controllers import Attribute, Classifier, DependencyTree, Keywords, Length, PartOfSpeech, Sentiment, Spans


@dataclass(frozen=True)
class World:
    """A model and what is asked of it.

    Attributes:
        text: to be edited. template: to be filled. sources: to be written from; None for a model that reads none.
        soft: wishes that a head follows, by name. word, ban: to include and to exclude. words: fewest and most.
        long: tokens of a text that the model does not hold. long_words: how many words it has, at least and at most.
    """

    pipe: Pipeline
    text: str
    template: str
    soft: Mapping[str, Controller]
    word: str
    ban: str
    words: tuple[int, int]
    sources: Sequence[str] | None = None
    long: int = 36
    long_words: tuple[int, int] = (32, 36)

    def wishes(self, kind: str, verb: str) -> list[Controller]:
        """None, exact ones, soft ones, or both."""
        length = Length(*(self.long_words if verb == "long" else self.words))
        return {
            "none": [],
            "exact": [length, Keywords(include=[self.word], exclude=[self.ban])],
            "guided": [Keywords(include=[self.word], exclude=[self.ban], placement="guided")],
            "mixed": [length, Keywords(exclude=[self.ban]), next(iter(self.soft.values()))],
            **{name: [wish] for name, wish in self.soft.items()},
        }[kind]


def grammar(pipe: Pipeline, soft: Mapping[str, Controller]) -> World:
    """A model of the toy grammar."""
    text, template = "Zizzi is a cheap pub near the park .", "[1-2][1] a [2-3] near the [1]."
    return World(pipe, text, template, soft, word="cheap", ban="hotel", words=(7, 9))


def plain(pipe: Pipeline) -> World:
    """Word by word, with a head for every task."""
    soft = {
        "soft": Attribute("opening", "place"),
        "tags": PartOfSpeech("PROPN .* NOUN .*", weight=0.5),
        "tree": DependencyTree("Zizzi is a cheap pub near the park ."),
        "spans": Spans(contains=["NP"], weight=2.0),
        "spelled": Attribute("price", "cheap"),
        "not": Sentiment("negative", negate=True, ramp="rising", start=0.2),
    }
    return grammar(pipe, soft)


def pieces(pipe: Pipeline) -> World:
    """In byte-pair pieces."""
    world = grammar(pipe, {"soft": Attribute("opening", "place"), "spelled": Attribute("price", "cheap")})
    return replace(world, long=80, long_words=(26, 30))


def sourced(pipe: Pipeline, sources: Sequence[str] | None) -> World:
    """A model that was trained to reverse what it is given, written from something or from nothing."""
    soft, long = {"soft": Classifier("front")}, {"long": 12, "long_words": (9, 11)}
    return World(pipe, "moon tree cat red", "moon [1-2][*]", soft, "sun", "bird", (3, 4), sources, **long)
