"""Heads against brute force: what is exact is exact, what may not be seen is not seen, padding is no matter."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cdlm.control.heads import HEADS, ArcHead, Head, SpanHead, TextHead, TokenHead, make_head
from cdlm.control.reading import HeadConfig, Reading

VOCAB, DIM, LENGTH, BATCH = 13, 6, 9, 3
LABELS = {
    "tokens": {"pos": ("DET", "NOUN", "VERB", "X")},
    "text": {"food": ("", "Indian"), "price": ("cheap", "dear", "")},
    "spans": {"spans": ("NP", "VP")},
    "arcs": {"dependencies": ("DET/det", "NOUN/nsubj", "VERB/root")},
}
every_kind = pytest.mark.parametrize("kind", list(HEADS))


def some_head(kind: str, *, layers: int = 2) -> Head:
    """Random weights throughout, the lexicon included."""
    torch.manual_seed(0)
    head = make_head(HeadConfig("task", kind, LABELS[kind], VOCAB, DIM, 24, 16, layers))  # type: ignore[arg-type]
    for name, value in head.named_parameters():
        if "lexicon" in name:
            value.data.normal_(std=1.5)
    return head.eval().requires_grad_(False)


def some_reading(seed: int = 0, batch: int = BATCH, length: int = LENGTH) -> Reading:
    draw = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(batch, length, VOCAB, generator=draw).softmax(-1)
    places = torch.arange(length).expand(batch, length)
    z, x0 = (torch.randn(batch, length, DIM, generator=draw) for _ in range(2))
    return Reading(z, torch.rand(batch, length, generator=draw), probabilities, x0, places + 1, length - places)


def outputs(head: Head, reading: Reading) -> list[Tensor]:
    """Everything that a head says; the first two axes that are as long as the text are its positions."""
    if isinstance(head, TokenHead):
        return [head.context(reading)]
    if isinstance(head, ArcHead):
        return [head.tags.context(reading), head(reading)]
    return [head(reading)]


def padded(reading: Reading, more: int, noise: float) -> Reading:
    """The same texts with positions behind them that are no part of them, and whatever stands there."""

    def pad(x: Tensor, value: float = 0.0) -> Tensor:
        shape = (len(x), more, *x.shape[2:])
        return torch.cat([x, (torch.randn(shape) * noise + value).to(x.dtype)], 1)

    mask = torch.zeros(reading.t.shape[0], reading.t.shape[1] + more, dtype=torch.bool)
    mask[:, : reading.t.shape[1]] = True
    fields = {name: pad(getattr(reading, name)) for name in ("z", "t", "probabilities", "x0")}
    ends = {name: torch.nn.functional.pad(getattr(reading, name), (0, more), value=1) for name in ("left", "right")}
    return replace(reading, **fields, **ends, mask=mask)


@pytest.mark.parametrize("strict", [False, True])
def test_evidence_is_the_log_probability_of_the_wish_given_each_token(strict: bool) -> None:
    """Token by token: the softmax of lexicon and context, and how much of it the wish allows."""
    head, reading = some_head("tokens"), some_reading()
    assert isinstance(head, TokenHead)
    context = head.context(reading) * 3
    wanted = -5 * torch.rand(context.shape, generator=torch.Generator().manual_seed(1))
    if strict:
        wanted = torch.where(wanted > -2.5, 0.0, -20.0)
        wanted[..., 0] = 0.0
    found = head.evidence(context, wanted)
    for token in range(VOCAB):
        label = (context + head.lexicon[token]).log_softmax(-1)
        assert torch.allclose(found[..., token], (label + wanted).logsumexp(-1), atol=1e-4), token
    assert not head.evidence(context, torch.zeros_like(wanted)).abs().max() > 1e-5


def test_evidence_is_finite_however_sure_the_head_is() -> None:
    head, reading = some_head("tokens"), some_reading()
    assert isinstance(head, TokenHead)
    context = head.context(reading) * 200
    wanted = torch.full_like(context, -20.0)
    wanted[..., 1] = 0.0
    found = head.evidence(context, wanted)
    assert found.isfinite().all()
    assert (found <= 1e-5).all()


def test_the_logits_of_known_tokens_are_the_same_sum() -> None:
    head, reading = some_head("tokens"), some_reading()
    assert isinstance(head, TokenHead)
    tokens = torch.randint(0, VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(2))
    assert torch.allclose(head(reading, tokens), head.context(reading) + head.lexicon[tokens])


def test_label_probabilities_are_the_token_averaged_out() -> None:
    head, reading = some_head("tokens"), some_reading()
    assert isinstance(head, TokenHead)
    context = head.context(reading)
    found = head.label_probabilities(context, reading.probabilities).exp()
    by_hand = torch.zeros_like(found)
    for token in range(VOCAB):
        by_hand += reading.probabilities[..., token, None] * (context + head.lexicon[token]).softmax(-1)
    assert torch.allclose(found, by_hand, atol=1e-6)
    assert torch.allclose(found.sum(-1), torch.ones(BATCH, LENGTH), atol=1e-5)


@pytest.mark.parametrize("kind", ["tokens", "arcs"])
@pytest.mark.parametrize("place", [0, 1, 4, LENGTH - 1])
def test_the_context_of_a_position_never_sees_the_position(kind: str, place: int) -> None:
    """Whatever is changed there, its context stays and every other one moves."""
    head, reading = some_head(kind), some_reading()
    tagger = head.tags if isinstance(head, ArcHead) else head
    assert isinstance(tagger, TokenHead)
    before = tagger.context(reading)
    for name in ("z", "x0", "t", "left", "right", "probabilities"):
        value = getattr(reading, name).clone()
        value[:, place] = value[:, place] * 2 + 1
        after = tagger.context(replace(reading, **{name: value}))
        moved = (after - before).abs().amax((0, 2))
        assert moved[place] < 1e-6, name
        others = [i for i in range(LENGTH) if i != place]
        assert name == "probabilities" or (moved[others] > 1e-6).all(), name


def test_the_context_has_no_gradient_at_its_own_position() -> None:
    head, reading = some_head("tokens"), some_reading()
    assert isinstance(head, TokenHead)
    for place in range(LENGTH):
        z, x0 = (x.clone().requires_grad_() for x in (reading.z, reading.x0))
        context = head.context(replace(reading, z=z, x0=x0))[:, place]
        for gradient in torch.autograd.grad((context * torch.randn(context.shape)).sum(), [z, x0]):
            assert not gradient[:, place].any()
            assert gradient[:, [i for i in range(LENGTH) if i != place]].abs().sum(-1).gt(0).all()


def test_the_lexical_part_of_a_text_adds_up() -> None:
    """Moving probability at two positions changes the logits by the sum of what the lexicon says of the tokens."""
    head, reading = some_head("text"), some_reading()
    assert isinstance(head, TextHead)
    other = reading.probabilities.clone()
    other[:, 2], other[:, 5] = torch.eye(VOCAB)[7], torch.eye(VOCAB)[1]
    change = head(replace(reading, probabilities=other)) - head(reading)
    by_hand = head.lexicon[7] + head.lexicon[1] - (reading.probabilities[:, [2, 5]] @ head.lexicon).sum(1)
    assert torch.allclose(change, by_hand, atol=1e-4)


def test_each_field_of_a_text_is_a_distribution() -> None:
    head = some_head("text")
    assert isinstance(head, TextHead)
    found = head.split(head(some_reading()))
    assert {name: part.shape[1] for name, part in found.items()} == {"food": 2, "price": 3}
    assert all(torch.allclose(part.exp().sum(-1), torch.ones(BATCH), atol=1e-5) for part in found.values())


def test_parents_are_a_distribution_over_positions() -> None:
    head = some_head("arcs")
    assert torch.allclose(head(some_reading()).exp().sum(-1), torch.ones(BATCH, LENGTH), atol=1e-5)


@every_kind
@pytest.mark.parametrize("more", [1, 4])
def test_padding_is_no_matter(kind: str, more: int) -> None:
    """As in a batch of training, where texts of many lengths stand together: a text is read as it is alone."""
    head, reading = some_head(kind), some_reading()
    wide = [padded(reading, more, noise) for noise in (0.0, 3.0)]
    alone, *behind = (outputs(head, r) for r in (reading, *wide))
    for found in behind:
        for plain, part in zip(alone, found, strict=True):
            cut = part
            for axis in range(1, 3):
                cut = cut.narrow(axis, 0, LENGTH) if part.shape[axis : axis + 1] == (LENGTH + more,) else cut
            inside = slice(0, LENGTH - 1)  # END closes the text: what is behind it is padding or nothing
            assert plain.shape == cut.shape
            assert torch.allclose(plain[:, inside], cut[:, inside], atol=1e-5), (plain - cut).abs().max()


@every_kind
def test_a_text_is_read_as_it_is_in_any_batch(kind: str) -> None:
    head, reading = some_head(kind), some_reading()
    one = Reading(**{n: None if v is None else v[1:2] for n, v in reading.__dict__.items()})
    for alone, together in zip(outputs(head, one), outputs(head, reading), strict=True):
        assert torch.allclose(alone[0], together[1], atol=1e-5)


Change = Callable[[Reading], Reading]
CHANGES: dict[str, Change] = {
    "z": lambda r: replace(r, z=r.z + 1),
    "x0": lambda r: replace(r, x0=r.x0 + 1, probabilities=r.probabilities.roll(1, -1)),
}


@every_kind
@pytest.mark.parametrize("hidden", list(CHANGES))
def test_what_is_hidden_is_not_seen(kind: str, hidden: str) -> None:
    """Each text of a batch by itself: of the first the latent, or the belief, is hidden, the others show both."""
    head = some_head(kind)
    seen = torch.tensor([False, True, True])
    reading = replace(some_reading(), **{f"sees_{hidden}": seen})
    for before, after in zip(outputs(head, reading), outputs(head, CHANGES[hidden](reading)), strict=True):
        assert torch.allclose(before[0], after[0], atol=1e-6)
        assert (before[1:] - after[1:]).flatten(1).abs().amax(1).gt(1e-4).all()
        assert before.isfinite().all()


@every_kind
def test_what_is_shown_to_all_is_what_is_shown(kind: str) -> None:
    head, all_ = some_head(kind), torch.ones(BATCH, dtype=torch.bool)
    shown = replace(some_reading(), sees_z=all_, sees_x0=all_)
    for plain, said in zip(outputs(head, some_reading()), outputs(head, shown), strict=True):
        assert torch.allclose(plain, said, atol=1e-6)


@every_kind
def test_longer_texts_than_the_model_writes_can_be_read(kind: str) -> None:
    """Distances beyond the largest one count as it."""
    head = some_head(kind, layers=1)
    assert all(part.isfinite().all() for part in outputs(head, some_reading(length=40)))


@every_kind
def test_what_a_head_costs_leaves_out_what_is_looked_up(kind: str) -> None:
    head = some_head(kind)
    named = dict(head.named_parameters())
    left_out = sum(p.numel() for n, p in named.items() if "lexicon" in n or n.startswith("judge"))
    assert head.size == sum(p.numel() for p in named.values()) - left_out > 0
    assert isinstance(head, SpanHead) or left_out > 0
