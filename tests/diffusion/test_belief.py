"""What a network reads that is shown beliefs: its own row where it is clean, the mask vector where it knows nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.diffusion.belief import BeliefReader
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.quantized import SCALE, dequantized, quantized

VOCAB, WIDTH = 7, 5


def reader() -> BeliefReader:
    made = BeliefReader(VOCAB, WIDTH)
    draw = torch.Generator().manual_seed(0)
    made.rows.data, made.mask.data = torch.randn(VOCAB, WIDTH, generator=draw), torch.randn(WIDTH, generator=draw)
    return made.requires_grad_(False)


def test_no_evidence_reads_the_mask_vector() -> None:
    made = reader()
    read = made(torch.full((2, 3, VOCAB), 1.7), None, torch.zeros(2, 3))
    torch.testing.assert_close(read, made.mask.expand(2, 3, WIDTH), atol=1e-5, rtol=0)


def test_a_clean_position_reads_its_own_row_whatever_the_estimate_said() -> None:
    made, likelihood = reader(), torch.zeros(1, VOCAB, VOCAB) + torch.eye(VOCAB)
    clean = torch.full((1, VOCAB), -math.inf)
    assert torch.equal(made(likelihood, torch.randn(1, VOCAB, VOCAB), clean)[0], made.rows)


@given(
    st.lists(st.floats(-4, 4), min_size=VOCAB, max_size=VOCAB),
    st.lists(st.floats(-4, 4), min_size=VOCAB, max_size=VOCAB),
)
@settings(max_examples=30)
def test_what_is_read_is_bayes_rule_in_closed_form(likelihood: list[float], agreement: list[float]) -> None:
    made = reader()
    evidence = [a + float(made.trust) * b for a, b in zip(likelihood, agreement, strict=True)]
    total = sum(math.exp(e) for e in evidence)
    belief = torch.tensor([math.exp(e) / total for e in evidence])
    certainty = 1 + float((belief * belief.log()).sum()) / math.log(VOCAB)
    expected = made.mask + certainty * (belief @ made.rows - made.mask)
    read = made(torch.tensor([[likelihood]]), torch.tensor([[agreement]]), torch.zeros(1, 1))
    torch.testing.assert_close(read[0, 0], expected, atol=1e-4, rtol=1e-4)


def small() -> DiffusionLM:
    torch.manual_seed(0)
    backbone = {
        "model_type": "bert",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    return DiffusionLM(
        DiffusionLMConfig(vocab_size=9, embedding_dim=6, max_length=12, reading="belief", backbone=backbone)
    ).eval()


def test_logits_are_products_with_the_rows_that_are_read() -> None:
    model = small()
    z, t = torch.randn(1, 4, 6), torch.full((1, 4), 0.5)
    with torch.no_grad():
        before = model(z, t).logits
        model.head.bias += 2.0
        torch.testing.assert_close(model(z, t).logits, before + 2.0)
        out = model(z, t)
    torch.testing.assert_close(out.logits, out.hidden @ model.reader.rows.T + model.head.bias)


def test_the_posterior_passes_a_gradient_to_the_latent() -> None:
    model = small().double()
    model.schedule.float()
    z = torch.randn(1, 3, 6, requires_grad=True)
    t = torch.full((1, 3), 0.3)
    slope = torch.autograd.grad(model(z, t).logits.log_softmax(-1)[..., 4].sum(), z)[0]
    step = torch.randn(z.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ahead, behind = (model(z + sign * 1e-3 * step, t).logits.log_softmax(-1)[..., 4].sum() for sign in (1, -1))
    assert float((slope * step).sum()) == pytest.approx(float(ahead - behind) / 2e-3, rel=0.02, abs=1e-4)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_eight_bits_a_row_come_back_within_half_a_level(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    state = {
        "a": torch.randn(5, 8, generator=draw) * 3,
        "b": torch.randn(4, generator=draw),
        "buffer": torch.ones(2, 2),
    }
    packed = quantized(state, {"a", "b"})
    assert packed["a"].dtype == torch.int8
    assert packed["buffer"] is state["buffer"]
    back = dequantized(packed)
    assert back.keys() == state.keys()
    assert ((back["a"] - state["a"]).abs() <= packed["a" + SCALE][:, None] / 2 + 1e-6).all()
    torch.testing.assert_close(back["b"], state["b"], rtol=1e-3, atol=1e-3)
    again = quantized(back, {"a"})
    assert torch.equal(again["a"], packed["a"])
