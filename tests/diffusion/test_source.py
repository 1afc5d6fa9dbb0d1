"""A source beside the text: what it changes, what it must not, and what guesses the text's length from it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.denoiser import backbone_config
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, cross_entropy
from cdlm.hub import load_model

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
BATCH, LENGTH, ROOM, VOCAB = 3, 5, 6, 11
both_backbones = pytest.mark.parametrize("kind", ["modernbert", "bert"])
CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


def make(kind: str = "modernbert", **changes: Any) -> DiffusionLM:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"vocab_size": VOCAB, "embedding_dim": 4, "max_length": 8, "max_source_length": ROOM}
    settings |= {"schedule": "cosine", "source_dropout": 0.1, "backbone": {"model_type": kind, **SIZES}}
    model = DiffusionLM(DiffusionLMConfig(**{**settings, **changes})).eval()
    with torch.no_grad():  # a fresh network hardly listens to its inputs
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and name != "embedding.weight":
                parameter.mul_(8)
    return model


def noised(model: DiffusionLM, batch: int = BATCH, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, VOCAB, (batch, length), generator=draw)
    t = torch.rand(batch, length, generator=draw)
    t[:, 0] = 0.0
    return model.diffuse(model.embed(tokens), t, torch.randn(batch, length, 4, generator=draw)), t


def sources(sizes: tuple[int, ...] = (4, 2, 3), width: int = ROOM) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(4, VOCAB, (len(sizes), width), generator=torch.Generator().manual_seed(2))
    there = torch.arange(width) < torch.tensor(sizes)[:, None]
    return tokens * there, there


def believed(model: DiffusionLM, z: Tensor, t: Tensor, **given: Any) -> Tensor:
    with torch.no_grad():
        return model(z, t, z * 0.5, **given).logits


@both_backbones
def test_source_changes_the_belief_by_its_words_and_their_order(kind: str) -> None:
    model = make(kind)
    z, t = noised(model)
    tokens, there = sources((4, 4, 4), 4)
    told = believed(model, z, t, source=tokens, source_mask=there)
    for other in (tokens.flip(1), (tokens - 3) % (VOCAB - 4) + 4):
        assert (believed(model, z, t, source=other, source_mask=there) - told).abs().max() > 1e-2
    assert (believed(model, z, t) - told).abs().max() > 1e-2


@both_backbones
def test_source_padding_does_not_matter(kind: str) -> None:
    model = make(kind)
    z, t = noised(model)
    (tight, there), (wide, _) = sources((4, 2, 3), 4), sources((4, 2, 3), 4)
    wide = torch.nn.functional.pad(wide, (0, 5), value=7)  # whatever stands on the padding
    more = torch.nn.functional.pad(there, (0, 5), value=False)
    expected = believed(model, z, t, source=tight, source_mask=there)
    torch.testing.assert_close(believed(model, z, t, source=wide, source_mask=more), expected, **CLOSE)
    with torch.no_grad():
        lengths = [model.length_logits(*given) for given in ((tight, there), (wide, more))]
    torch.testing.assert_close(*lengths, **CLOSE)


@both_backbones
def test_source_of_one_text_is_no_matter_to_another(kind: str) -> None:
    model = make(kind)
    z, t = noised(model)
    tokens, there = sources()
    together = believed(model, z, t, source=tokens, source_mask=there)
    order = torch.tensor([2, 0, 1])
    shuffled = believed(model, z[order], t[order], source=tokens[order], source_mask=there[order])
    torch.testing.assert_close(shuffled, together[order], **CLOSE)
    for row in range(BATCH):
        size = int(there[row].sum())
        alone = believed(model, z[row : row + 1], t[row : row + 1], source=tokens[row : row + 1, :size])
        torch.testing.assert_close(alone[0], together[row], **CLOSE)


@both_backbones
def test_source_stays_beside_a_padded_text(kind: str) -> None:
    """Training pads texts too; a text's belief does not depend on it."""
    model = make(kind)
    z, t = noised(model)
    tokens, there = sources()
    mask = torch.arange(LENGTH) < torch.tensor([5, 3, 4])[:, None]
    places = torch.arange(LENGTH).expand(BATCH, -1)
    right = (mask.sum(1, keepdim=True) - places).clamp(min=0)
    padded = believed(model, z, t, source=tokens, source_mask=there, mask=mask, left=places + 1, right=right)
    for row, size in enumerate((5, 3, 4)):
        given = {"source": tokens[row : row + 1], "source_mask": there[row : row + 1]}
        alone = believed(model, z[row : row + 1, :size], t[row : row + 1, :size], **given)
        torch.testing.assert_close(alone[0], padded[row, :size], **CLOSE)


@both_backbones
def test_source_of_no_word_is_no_source(kind: str) -> None:
    model = make(kind)
    z, t = noised(model)
    tokens, there = sources((4, 0, 3))
    mixed = believed(model, z, t, source=tokens, source_mask=there)
    torch.testing.assert_close(mixed[1], believed(model, z, t)[1], **CLOSE)


def test_source_model_without_one_has_no_other_weights() -> None:
    plain, reading = make(max_source_length=0), make()
    added = set(reading.state_dict()) - set(plain.state_dict())
    assert added
    assert {name.split(".")[0] for name in added} == {"length_head"}
    assert make(max_source_length=0, source_dropout=0.0).state_dict().keys() == plain.state_dict().keys()
    with pytest.raises(ValueError, match="source_column"):
        plain.length_logits(*sources())


def test_source_model_survives_saving(tmp_path: Path) -> None:
    model = make()
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert (again.config.max_source_length, again.config.source_dropout) == (ROOM, 0.1)
    tokens, there = sources()
    z, t = noised(model)
    given = {"source": tokens, "source_mask": there}
    assert torch.equal(believed(model, z, t, **given), believed(again, z, t, **given))
    assert torch.equal(model.length_logits(tokens, there), again.length_logits(tokens, there))


def test_source_needs_room_among_an_encoders_positions() -> None:
    small = {"model_type": "bert", **SIZES, "max_position_embeddings": 12}
    backbone_config(DiffusionLMConfig(max_length=8, backbone=small))
    with pytest.raises(ValueError, match=r"max_source_length=6 need .* of 14, not 12"):
        backbone_config(DiffusionLMConfig(max_length=8, max_source_length=6, backbone=small))


def batch_of(model: DiffusionLM, there: Tensor, tokens: Tensor) -> NoisedBatch:
    draw = torch.Generator().manual_seed(3)
    shape = (len(there), LENGTH)
    places = torch.arange(LENGTH).expand(shape)
    t = torch.full(shape, 0.5)
    t[:, 0] = 0.0
    return NoisedBatch(
        tokens=torch.randint(4, VOCAB, shape, generator=draw),
        t=t,
        eps=torch.randn(*shape, 4, generator=draw),
        eps_previous=torch.randn(*shape, 4, generator=draw),
        lag=torch.full((len(there),), -1.0),
        uniform=torch.ones(len(there), dtype=torch.bool),
        left=places + 1,
        right=LENGTH - places,
        hinted=torch.zeros(shape, dtype=torch.bool),
        planes=torch.zeros(len(there), 1, 4),
        source=tokens,
        source_mask=there,
    )


def test_source_loss_is_that_of_the_tokens_plus_that_of_the_lengths() -> None:
    """An example without its source, and one that is not counted, have no length to answer for."""
    model = make()
    tokens, there = sources((4, 0, 3))
    batch = batch_of(model, there, tokens)
    loss = cross_entropy(model, batch)
    nll = -model.length_logits(tokens, there).log_softmax(-1)[:, LENGTH - 2]
    assert float(loss.terms["length"].detach()) == pytest.approx(float((nll[0] + nll[2]).detach()), rel=1e-5)
    assert float((loss.total - loss.terms["cross_entropy"]).detach()) == pytest.approx(
        float(loss.terms["length"]), rel=1e-4
    )
    silent = batch.__dict__ | {"t": batch.t * torch.tensor([[1.0], [1.0], [0.0]])}
    found = cross_entropy(model, NoisedBatch(**silent)).terms["length"]
    assert float(found) == pytest.approx(float(nll[0].detach()), rel=1e-5)


def test_source_teaches_every_weight() -> None:
    model = make().train()
    tokens, there = sources()
    cross_entropy(model, batch_of(model, there, tokens)).total.backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad(set_to_none=True)
    model.length_logits(tokens, there).sum().backward()
    assert model.embedding.weight.grad is None
