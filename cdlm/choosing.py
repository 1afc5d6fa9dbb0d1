"""What is returned of what was written: the best candidate, and what is done about texts that miss a wish."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal, get_args

from cdlm.control.controller import Unsatisfied, WishError
from cdlm.output import Output, Written, charged
from cdlm.sampling.select import Select, best_first, consensus_first

OnUnsatisfied = Literal["return", "resample", "raise"]
Write = Callable[[list[int]], dict[int, Written]]
OnPart = Callable[[Output], None]
"""Called with each part of a request's texts as soon as it is finished; an exception that it raises ends the run."""
FIRST_PART, MOST_IN_PART, SECONDS_A_PART = 32, 1024, 3.0
MOST_DRAWN = 4
"""How many times as many candidates are drawn, at most, where too few of them differ."""
_ATTEMPT_BITS, _RETRIES = 32, 8
MOST_INDEX = (1 << _ATTEMPT_BITS) - 1
"""The largest number of a text; the bits above it name its candidates and retries."""


def attempt_key(index: int, attempt: int) -> int:
    """The key of a further candidate or retry of text ``index``."""
    return index + (attempt << _ATTEMPT_BITS)


def index_of(key: int) -> int:
    """The number of the text that a key belongs to."""
    return key & MOST_INDEX


def _better(old: Written, new: Written, attempts: int) -> Written:
    kept = max((old, new), key=lambda w: sum(v.score for v in w.verdicts) + w.satisfied)
    return replace(charged(kept, (old, new)), attempts=attempts)


def satisfy(chosen: dict[int, Written], again: Write, mode: OnUnsatisfied) -> dict[int, Written]:
    """What is done about texts that miss a wish: nothing, ``again`` with new keys, or an error; ``chosen`` by number."""
    missed = [i for i, w in chosen.items() if not w.satisfied]
    if mode == "raise" and missed:
        wrong = next(v for v in chosen[missed[0]].verdicts if not v.satisfied)
        raise Unsatisfied(f"{wrong.name}: {wrong.detail}")
    for attempt in range(1, _RETRIES + 1) if mode == "resample" else ():
        keys = {i: attempt_key(i, attempt << 16) for i, w in chosen.items() if not w.satisfied}
        written = again(list(keys.values())) if keys else {}
        for i, key in keys.items():
            chosen[i] = _better(chosen[i], written[key], attempt + 1)
    return chosen


@dataclass(frozen=True)
class Choosing:
    """Texts by their numbers, each the one that a request wants of what was written for it.

    Attributes:
        write: one text for every key.
        num_candidates: written for each text.
        select: which of them is the best.
        on_unsatisfied: what is done where it misses a wish.
    """

    write: Write
    num_candidates: int = 1
    select: Select = "best"
    on_unsatisfied: OnUnsatisfied = "return"

    def texts(self, numbers: Sequence[int]) -> list[Written]:
        """The texts of these numbers; none depends on the others."""
        keys = {i: [attempt_key(i, c) for c in range(self.num_candidates)] for i in numbers}
        written = self.write([key for group in keys.values() for key in group])
        ranked = {i: rank([written[key] for key in group], self.select) for i, group in keys.items()}
        chosen = {i: charged(group[0], group) for i, group in ranked.items()}
        return list(satisfy(chosen, self.write, self.on_unsatisfied).values())

    def output(self, total: int, tell: OnPart | None = None) -> Output:
        """The first ``total`` texts. ``tell`` is given each part as soon as it is finished, in order; what it raises ends it."""
        if tell is None or self.on_unsatisfied == "raise":  # an error is to come before any text
            found = Output(tuple(self.texts(range(total))))
            if tell is not None:
                tell(found)
            return found
        written: list[Written] = []
        for numbers in parts(total):
            written += self.texts(numbers)
            tell(Output(tuple(written[numbers.start :])))
        return Output(tuple(written))

    def different(self, wanted: int, drawn: int, tell: OnPart | None = None) -> Output:
        """The best texts that differ from each other among so many.

        Where these are too few, as many again are drawn, up to ``MOST_DRAWN`` times as many in all; a remark says where that
        was not enough. What the others cost is charged to the first.
        """
        found: list[Written] = []
        while len({w.text for w in found}) < wanted and len(found) < MOST_DRAWN * drawn:
            found += self.texts(range(len(found), len(found) + drawn))
        by_text: dict[str, Written] = {}
        for one in rank(found, self.select):
            by_text.setdefault(one.text, one)
        best = list(by_text.values())[:wanted]
        spent = [w for w in found if not any(w is kept for kept in best[1:])]
        remark = (
            f"{len(best)} different texts among {len(found)} drawn, {wanted} were asked for; longer gaps allow for more"
        )
        output = Output((charged(best[0], spent), *best[1:]), () if len(best) == wanted else (remark,))
        if tell is not None:
            tell(output)
        return output


def parts(total: int) -> Iterator[range]:
    """The numbers up to ``total`` in ranges that take some seconds each, by what the one before took."""
    start, size = 0, FIRST_PART
    while start < total:
        began = perf_counter()
        yield range(start, min(total, start + size))
        start, pace = start + size, (perf_counter() - began) / size
        size = max(1, min(MOST_IN_PART, 4 * size, int(SECONDS_A_PART / max(pace, 1e-9))))


def rank(group: list[Written], select: Select) -> list[Written]:
    """Candidates of one text, best first."""
    return consensus_first(group) if select == "mbr" else best_first(group)


def check_modes(select: str = "best", on_unsatisfied: str = "return") -> None:
    """Refuse a way of choosing that there is not.

    Raises:
        WishError: names the argument.
    """
    if select not in get_args(Select):
        raise WishError(f"select is {' or '.join(get_args(Select))}, not {select!r}")
    if on_unsatisfied not in get_args(OnUnsatisfied):
        raise WishError(f"on_unsatisfied is return, resample or raise, not {on_unsatisfied!r}")


def check_top(return_top: int | None, count: int, source: object) -> None:
    """Refuse what cannot be the best of the texts.

    Raises:
        WishError: names the argument.
    """
    if return_top is None:
        return
    if not isinstance(source, str | None):
        raise WishError("return_top compares the candidates of one text; give one source")
    if return_top > count:
        raise WishError(f"return_top={return_top} of num_candidates={count}: ask for more candidates")
