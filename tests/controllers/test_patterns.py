"""Tag patterns: what they admit and their evidence, against enumeration of all tag sequences."""

import itertools
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.controller import WishError
from controllers.patterns import FLOOR, Automaton, Pattern, mixture_evidence, parse_pattern, pattern_evidence

TAGS = ("A", "B", "C")
UNIVERSAL = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()

atoms = st.lists(st.sampled_from(TAGS), min_size=1, max_size=2).map("|".join) | st.just(".")
items = st.tuples(atoms, st.sampled_from(["", "?", "+", "*"])).map("".join) | st.just("*")
patterns = st.lists(items, min_size=1, max_size=4).map(lambda parts: parse_pattern(" ".join(parts), TAGS))
lengths = st.integers(1, 5)


def texts_of(size: int, tags: tuple[str, ...] = TAGS) -> list[tuple[str, ...]]:
    return list(itertools.product(tags, repeat=size))


def accepts(pattern: Pattern, tags: tuple[str, ...]) -> bool:
    """By Python's regular expressions, from the canonical spelling of the pattern."""
    expression = ""
    for item in str(pattern).split():
        names, suffix = re.fullmatch(r"([^?+*]*)([?+*]?)", item).groups()
        expression += f"({names or '.'}){suffix}"
    return re.fullmatch(expression, "".join(tags)) is not None


def paths(automaton: Automaton, tags: tuple[str, ...]) -> int:
    """How many ways there are to read the tags."""
    count = automaton.start.astype(int)
    for tag in tags:
        count = count @ automaton.transitions[:, :, TAGS.index(tag)].astype(int)
    return int(count[automaton.accept].sum())


def belief_of(batch: int, words: int, tags: int, seed: int, sharpness: float = 2.0) -> torch.Tensor:
    logits = sharpness * torch.randn(batch, words, tags, generator=torch.Generator().manual_seed(seed))
    return logits.log_softmax(-1)


def enumerated(log_tag: torch.Tensor, weigh: dict[tuple[int, ...], float]) -> torch.Tensor:
    """Evidence of one text from the weight of every sequence of tags that counts."""
    p = log_tag.double().exp()
    mass = torch.zeros_like(p)
    for ids, weight in weigh.items():
        chosen = p[range(len(ids)), list(ids)]
        for i, tag in enumerate(ids):
            mass[i, tag] += weight * torch.cat([chosen[:i], chosen[i + 1 :]]).prod()
    logs = mass.log()
    return (logs - logs.amax(-1, keepdim=True)).clamp(min=FLOOR).float()


@given(patterns, lengths, st.integers(0, 99), st.sampled_from([0.5, 2.0, 6.0]))
def test_evidence_of_a_pattern_against_enumeration(pattern: Pattern, size: int, seed: int, sharpness: float) -> None:
    belief = belief_of(2, size, len(TAGS), seed, sharpness)
    matching = [tags for tags in texts_of(size) if pattern.matches(tags)]
    if not matching:
        with pytest.raises(WishError, match="words, not"):
            pattern_evidence(pattern, belief)
        return
    weigh = {tuple(map(TAGS.index, tags)): 1.0 for tags in matching}
    wanted = torch.stack([enumerated(text, weigh) for text in belief])
    torch.testing.assert_close(pattern_evidence(pattern, belief), wanted, atol=1e-4, rtol=1e-4)


@given(patterns)
def test_what_a_pattern_admits(pattern: Pattern) -> None:
    """Matches against regular expressions, lengths against the texts of that length, and no text on two paths."""
    for size in range(6):
        matching = {tags for tags in texts_of(size) if accepts(pattern, tags)}
        assert pattern.fits(size) == bool(matching)
        for tags in texts_of(size):
            assert pattern.matches(tags) == (tags in matching) == (paths(pattern.automaton, tags) > 0)
            assert paths(pattern.unambiguous, tags) == (tags in matching)


@given(patterns, st.lists(st.sampled_from(TAGS), max_size=5))
def test_best_match_against_all_texts_that_match(pattern: Pattern, tags: list[str]) -> None:
    size = max(pattern.low, min(len(tags), 9 if pattern.high is None else pattern.high))
    right = max(
        sum(a == b for a, b in zip(tags, text, strict=False)) for text in texts_of(size) if pattern.matches(text)
    )
    whole = max(len(tags), size)
    assert pattern.best_match(tags) == pytest.approx(right / whole if whole else 1.0)
    assert (pattern.best_match(tags) == 1) == pattern.matches(tags)


@given(patterns)
def test_the_canonical_spelling_is_the_pattern(pattern: Pattern) -> None:
    again = parse_pattern(str(pattern).lower(), TAGS)
    assert again == pattern
    assert hash(again) == hash(pattern)


@given(lengths, st.integers(1, 6), st.integers(0, 99))
def test_evidence_of_a_mixture_against_enumeration(size: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    templates = torch.randint(-1, len(TAGS), (count, size), generator=generator)
    weights = torch.randn(count, generator=generator)
    weigh = {
        ids: sum(
            w for t, w in zip(templates.tolist(), weights.exp().tolist(), strict=True)
            if all(k in (-1, i) for k, i in zip(t, ids, strict=True))
        )
        for ids in itertools.product(range(len(TAGS)), repeat=size)
    }  # fmt: skip
    belief = belief_of(2, size, len(TAGS), seed)
    # A word's own tag is given, so the evidence weighs templates, of which several may admit one text, by their sum.
    wanted = torch.stack([enumerated(text, weigh) for text in belief])
    torch.testing.assert_close(mixture_evidence(templates, weights, belief), wanted, atol=1e-4, rtol=1e-4)


def test_a_sentence() -> None:
    pattern = parse_pattern("det ADJ? Noun+ VERB *", UNIVERSAL)
    assert (pattern.low, pattern.high, pattern.tags, str(pattern)) == (3, None, None, "DET ADJ? NOUN+ VERB *")
    assert pattern.matches("DET NOUN VERB".split())
    assert pattern.matches("DET ADJ NOUN NOUN VERB ADV PUNCT".split())
    assert not pattern.matches("DET ADJ ADJ NOUN VERB".split())
    assert not pattern.matches("DET ADJ VERB".split())
    assert [n for n in range(9) if not pattern.fits(n)] == [0, 1, 2]
    evidence = pattern_evidence(pattern, belief_of(1, 3, 17, 0))
    assert evidence[0].argmax(-1).tolist() == [UNIVERSAL.index(t) for t in ("DET", "NOUN", "VERB")]
    assert sorted(set(evidence.flatten().tolist())) == [FLOOR, 0]


def test_wildcards() -> None:
    pattern = parse_pattern(". NOUN _ *", UNIVERSAL)
    assert (pattern.low, pattern.high) == (3, None)
    assert pattern.matches("X NOUN SPACE".split())  # any tag, also one that the model does not know
    assert not pattern.matches("X VERB X".split())
    evidence = pattern_evidence(pattern, belief_of(2, 6, 17, 0))
    assert (evidence[:, [0, 2, 3, 4, 5]] == 0).all()
    assert not pattern_evidence(parse_pattern("*", UNIVERSAL), belief_of(2, 6, 17, 0)).any()


def test_alternatives_in_any_order_are_one_pattern() -> None:
    pattern = parse_pattern("PRON|det+ VERB", UNIVERSAL)
    assert pattern == parse_pattern("DET|PRON|DET+ verb", UNIVERSAL)
    assert pattern.matches("DET PRON VERB".split())
    assert not pattern.matches("VERB VERB".split())


@given(st.lists(st.sampled_from(TAGS), min_size=1, max_size=20), st.floats(0.5, 200))
def test_an_exact_pattern_leaves_no_choice(tags: list[str], sharpness: float) -> None:
    pattern = parse_pattern(" ".join(tags), TAGS)
    assert pattern.tags == tuple(tags)
    evidence = pattern_evidence(pattern, belief_of(2, len(tags), len(TAGS), 0, sharpness))
    wanted = torch.full_like(evidence, FLOOR)
    wanted[:, range(len(tags)), [TAGS.index(t) for t in tags]] = 0
    assert torch.equal(evidence, wanted)


@pytest.mark.parametrize("text", ["A|B A", "A? A", "A+", ". A"])
def test_no_exact_tags_where_there_is_a_choice(text: str) -> None:
    assert parse_pattern(text, TAGS).tags is None


def test_a_certain_belief_decides_the_rest() -> None:
    """The verb stands third, so the noun is second; the belief of a word itself does not count."""
    belief = belief_of(1, 4, 3, 0)
    belief[0, 2] = torch.tensor([-torch.inf, -torch.inf, 0.0])
    evidence = pattern_evidence(parse_pattern("A+ B C *", TAGS), belief)
    assert evidence[0, 0].tolist() == evidence[0, 1].roll(-1).tolist() == [0, FLOOR, FLOOR]
    assert evidence[0, 3].tolist() == [0, 0, 0]


def test_a_belief_that_contradicts_the_pattern_is_led_to_the_fewest_contradictions() -> None:
    belief = torch.full((1, 4, 3), -torch.inf)
    belief[0, range(4), [0, 2, 2, 0]] = 0.0  # A C C A; one word away from A B C A
    evidence = pattern_evidence(parse_pattern("A B C A+", TAGS), belief)
    assert evidence.argmax(-1).tolist() == [[0, 1, 2, 0]]
    evidence = pattern_evidence(parse_pattern("B* A C+ A", TAGS), belief)
    assert evidence.argmax(-1).tolist() == [[0, 2, 2, 0]]
    template = mixture_evidence(torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]]), torch.zeros(2), belief)
    assert template.argmax(-1).tolist() == [[0, 1, 2, 0]]
    assert torch.isfinite(template).all()


def test_texts_of_a_batch_do_not_know_each_other() -> None:
    belief = belief_of(5, 9, 17, 1)
    pattern = parse_pattern("* DET ADJ? NOUN+ VERB|AUX *", UNIVERSAL)
    templates = torch.randint(-1, 17, (40, 9), generator=torch.Generator().manual_seed(0))
    for evidence in (lambda b: pattern_evidence(pattern, b), lambda b: mixture_evidence(templates, torch.zeros(40), b)):
        alone = torch.cat([evidence(text[None]) for text in belief])
        torch.testing.assert_close(evidence(belief), alone, atol=1e-5, rtol=1e-5)


def test_long_texts_stay_finite_and_normalised() -> None:
    belief = belief_of(3, 62, 17, 2, sharpness=40)
    pattern = parse_pattern("* " + "NOUN VERB . " * 8 + "*", UNIVERSAL)
    evidence = pattern_evidence(pattern, belief)
    assert torch.isfinite(evidence).all()
    assert (evidence.amax(-1) == 0).all()
    assert evidence.min() >= FLOOR
    assert pattern_evidence(pattern, belief, floor=-3.0).min() >= -3


def test_a_pattern_is_read_from_the_end_where_that_is_smaller() -> None:
    pattern = parse_pattern("* DET" + " ." * 12, UNIVERSAL)
    assert len(pattern.unambiguous.start) < 20
    evidence = pattern_evidence(pattern, belief_of(1, 20, 17, 0))
    assert evidence[0, 7].argmax() == UNIVERSAL.index("DET")
    assert not evidence[0, :7].any()
    assert not evidence[0, 8:].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("DET nouns", r"no tag 'nouns'; did you mean NOUN\? known: ADJ, .*VERB, X"),
        ("DET zzzz", r"no tag 'zzzz'; known: ADJ, .*VERB, X"),
        ("DET NOUN++", r"'NOUN\+\+' is no item; write tags"),
        ("DET **", "is no item"),
        ("DET *?", "is no item"),
        ("+", "is no item"),
        ("DET |PRON", "is no item"),
        ("DET|?", "is no item"),
        ("DET|.", r"no tag '\.'"),
        ("A?DJ", "is no item"),
    ],
)
def test_no_pattern(text: str, message: str) -> None:
    with pytest.raises(WishError, match=f"pattern: .*{message}"):
        parse_pattern(text, UNIVERSAL)


def test_evidence_that_there_is_none_of() -> None:
    belief = belief_of(1, 2, 17, 0)
    with pytest.raises(WishError, match=r"DET NOUN\+ VERB takes 3–∞ words, not 2"):
        pattern_evidence(parse_pattern("DET NOUN+ VERB", UNIVERSAL), belief)
    with pytest.raises(WishError, match=r"DET\? takes 0–1 words, not 2"):
        pattern_evidence(parse_pattern("DET?", UNIVERSAL), belief)
    with pytest.raises(WishError, match="no template has so many words"):
        mixture_evidence(torch.zeros(0, 2, dtype=torch.long), torch.zeros(0), belief)
    with pytest.raises(WishError, match="can be read in too many ways"):
        pattern_evidence(parse_pattern("* DET" + " ." * 12 + " DET *", UNIVERSAL), belief_of(1, 20, 17, 0))


def test_a_set_of_tags_has_an_order() -> None:
    assert parse_pattern("noun", set(UNIVERSAL)).alphabet == tuple(sorted(UNIVERSAL))
    assert parse_pattern("noun", UNIVERSAL[::-1]).alphabet == tuple(UNIVERSAL[::-1])


def test_a_template_without_weight_does_not_count() -> None:
    belief = belief_of(2, 3, 3, 0)
    templates = torch.tensor([[0, 1, -1], [2, 2, 2]])
    evidence = mixture_evidence(templates, torch.tensor([0.0, -torch.inf]), belief)
    assert torch.equal(evidence, mixture_evidence(templates[:1], torch.zeros(1), belief))
    assert evidence[0].tolist() == [[0, FLOOR, FLOOR], [FLOOR, 0, FLOOR], [0, 0, 0]]
