"""Guidance: linear between the belief without a source and the one with it, and exact at both ends."""

import pytest
import torch
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import Denoised, DiffusionLM
from cdlm.sampling.guidance import Guidance
from tests.sampling.toys import VOCAB, open_canvas

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
HEADS = ["logits", "regression"]


def reader(head: str) -> DiffusionLM:
    torch.manual_seed(0)
    settings = {"head": head, "max_length": 16, "max_source_length": 4, "source_dropout": 0.1, "schedule": "cosine"}
    backbone = {"model_type": "bert", **SIZES}
    return DiffusionLM(DiffusionLMConfig(vocab_size=VOCAB, embedding_dim=4, backbone=backbone, **settings)).eval()


def given(sources: list[list[int]]) -> tuple[Canvas, Tensor, Tensor]:
    canvas = open_canvas(len(sources), 4).beside(sources)
    z = torch.randn(*canvas.shape, 4, generator=torch.Generator().manual_seed(1))
    return canvas, z, torch.where(canvas.decided, 0.0, 0.7)


@torch.no_grad()
def ask(scale: float, model: DiffusionLM, sources: list[list[int]]) -> tuple[Denoised, int]:
    canvas, z, t = given(sources)
    calls: list[object] = []
    handle = model.register_forward_hook(lambda *_: calls.append(None))
    out = Guidance(scale)(model, z, t, None, canvas)
    handle.remove()
    assert Guidance(scale).evaluations(canvas) == len(calls)
    return out, len(calls)


@pytest.mark.parametrize("head", HEADS)
def test_guidance_of_one_and_of_nought_is_the_model_itself(head: str) -> None:
    model, sources = reader(head), [[5, 6], [7]]
    canvas, z, t = given(sources)
    with torch.no_grad():
        told, free = model(z, t, None, **canvas.features), model(z, t, None, **open_canvas(2, 4).features)
    for scale, expected in ((1.0, told), (0.0, free)):
        found, calls = ask(scale, model, sources)
        assert calls == 1
        assert torch.equal(found.logits, expected.logits)
        assert torch.equal(found.x0, expected.x0)
    assert not torch.equal(told.logits, free.logits)


@pytest.mark.parametrize("scale", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("head", HEADS)
def test_guidance_extrapolates_the_belief(head: str, scale: float) -> None:
    model, sources = reader(head), [[5, 6], [7]]
    (free, _), (told, _), (found, calls) = (ask(s, model, sources) for s in (0.0, 1.0, scale))
    assert calls == 2
    torch.testing.assert_close(found.logits, free.logits + scale * (told.logits - free.logits))
    expected = model.embedding.expected(found.logits) if head == "logits" else free.x0 + scale * (told.x0 - free.x0)
    torch.testing.assert_close(found.x0, expected)


def test_guidance_without_a_source_asks_once() -> None:
    model = reader("logits")
    (plain, calls), (other, _) = ask(1.0, model, [[], []]), ask(3.0, model, [[], []])
    assert calls == 1
    assert torch.equal(plain.logits, other.logits)
