"""What the tree controller's parser head believes of the controller's own finished texts, beside the judge's parses.

Where the judge sees another head word than was wished for and the controller's head does not, more steering cannot help:
the controller believes its wish fulfilled. ``python benchmarks/steering.py believed`` writes the table.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from control_requests import Requests

from cdlm.control.canvas import blank_canvas
from cdlm.control.estimate import Estimate
from cdlm.control.reading import Reading
from cdlm.data.syntax import parse_texts
from cdlm.evaluation.intervals import Figure, ratio_with_interval
from cdlm.pipeline import Pipeline
from controllers import DependencyTree
from controllers.places import word_places

Heads = Sequence[int]


@dataclass(frozen=True)
class Tally:
    """Words of a text, parted by whether the judge sees the wished head word there.

    Attributes:
        right, agreed: words with the wished head, and how many of them the controller's own head reads so.
        wrong: words with another head. believed: of these, those of which the controller's head believes the wish fulfilled.
        seen: those where it reads what the judge reads. other: those where it reads a third word.
        missing: wished words behind the end of the text.
    """

    right: int = 0
    agreed: int = 0
    wrong: int = 0
    believed: int = 0
    seen: int = 0
    other: int = 0
    missing: int = 0

    @classmethod
    def of(cls, wished: Heads, judged: Heads, read: Heads) -> "Tally":
        """One text: the index of every word's head as it was wished, as the judge and as the controller's head reads it."""
        words = list(zip(wished, judged, read, strict=False))
        right = [(w, r) for w, j, r in words if w == j]
        wrong = [(w, j, r) for w, j, r in words if w != j]
        believed, seen = sum(r == w for w, _, r in wrong), sum(r == j for _, j, r in wrong)
        return cls(
            right=len(right),
            agreed=sum(w == r for w, r in right),
            wrong=len(wrong),
            believed=believed,
            seen=seen,
            other=len(wrong) - believed - seen,
            missing=len(wished) - len(words),
        )


@torch.no_grad()
def heads_of(wish: DependencyTree, pipe: Pipeline, text: str) -> list[int]:
    """The likeliest head word of every word, the root's its own, as the head of a bound wish reads the finished text."""
    vocabulary = pipe.tokenizer
    ids = torch.tensor([vocabulary.encode(text)])
    canvas = blank_canvas(
        ids,
        torch.ones_like(ids, dtype=torch.bool),
        torch.from_numpy(vocabulary.generatable),
        start_id=vocabulary.start_id,
        end_id=vocabulary.end_id,
    )
    z = pipe.model.embed(canvas.tokens)
    sure = torch.nn.functional.one_hot(canvas.tokens, len(vocabulary)).float().log()
    reading = Reading.of(Estimate(z, torch.zeros(canvas.shape), sure, z, canvas, 1.0))
    _, first, _ = next(word_places(canvas, vocabulary))
    heads: list[int] = wish.parser(reading)[0][first][:, first].argmax(-1).tolist()
    return heads


def tallies(asked: Requests) -> list[Tally]:
    """One text a request, as the controller writes it with its defaults."""
    pipe, texts, wishes = asked.bench.pipe, [], []
    for number, make in enumerate(asked.wishes):
        (wish,) = (w.bind(pipe.heads, pipe.tokenizer) for w in make())
        assert isinstance(wish, DependencyTree)
        wishes.append(wish)
        texts += pipe.generate(1, controllers=[wish], seed=number).texts
    return [
        Tally.of(wish.template.heads, parse.heads, heads_of(wish, pipe, text))
        for wish, text, parse in zip(wishes, texts, parse_texts(texts), strict=True)
    ]


@dataclass(frozen=True)
class Belief:
    """The sums over texts, and two shares of them.

    Attributes:
        believed: of the words with a wrong head. agreed: of those with the right one.
    """

    texts: int
    words: Tally
    believed: Figure
    agreed: Figure


def belief(found: Sequence[Tally]) -> Belief:
    """All texts together.

    Raises:
        ValueError: no word has a wrong head, so there is nothing to ask about.
    """
    words = Tally(**{name: sum(getattr(t, name) for t in found) for name in asdict(Tally())})
    if not words.wrong:
        raise ValueError(
            f"none of the {words.right} words of {len(found)} texts has a wrong head; ask for more (--count)"
        )
    return Belief(len(found), words, _rate(found, "believed", "wrong"), _rate(found, "agreed", "right"))


def _rate(found: Sequence[Tally], part: str, whole: str) -> Figure:
    """Over the texts that have such words."""
    counted = [(getattr(t, part), getattr(t, whole)) for t in found if getattr(t, whole)]
    return ratio_with_interval([some for some, _ in counted], [every for _, every in counted])


def markdown(found: Belief) -> str:
    """The table."""
    words = found.words
    return (
        "# What the tree controller believes of its own texts\n\n"
        f"`e2e`, tuning half, {found.texts} texts with the defaults, read once more by the controller's own parser head and "
        "by the judge (spaCy). Of a word whose head the judge sees elsewhere than wished, the controller's head believes the "
        "wish fulfilled, or reads what the judge reads, or a third word.\n\n"
        "| the judge sees | words | read as wished | 95 % | read as the judge does | read otherwise |\n"
        "|---|---|---|---|---|---|\n"
        f"| the wished head | {words.right} | {words.agreed} | {_share(found.agreed)} |  | {words.right - words.agreed} |\n"
        f"| another head | {words.wrong} | {words.believed} | {_share(found.believed)} | {words.seen} | {words.other} |\n"
        f"\nWished words that the text lacks: {words.missing}.\n"
    )


def _share(figure: Figure) -> str:
    return f"{figure.low:.0%} – {figure.high:.0%}"
