"""Averaged weights."""

import pytest
import torch
from torch import nn

from cdlm.training.ema import Ema


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.register_buffer("clock", torch.tensor([7.0]))


def test_ema_follows_its_recursion() -> None:
    model, decay = Tiny(), 0.6
    ema, shadow = Ema(model, decay), model.weight.detach().double()
    for step in range(1, 30):
        model.weight.data = torch.tensor([float(step), step**0.5])
        ema.update(model)
        rate = min(decay, (1 + step) / (10 + step))
        shadow = rate * shadow + (1 - rate) * model.weight.detach().double()
    torch.testing.assert_close(ema.shadow["weight"], shadow.float())


def test_ema_of_a_constant_is_the_constant() -> None:
    model = Tiny()
    ema = Ema(model, 0.999)
    for _ in range(100):
        ema.update(model)
    assert torch.equal(ema.shadow["weight"], model.weight)


def test_ema_is_swapped_in_and_out_bit_for_bit() -> None:
    model = Tiny().train()
    ema = Ema(model, 0.5)
    model.weight.data += 1 / 3
    before = model.weight.detach().clone()
    with ema.applied(model):
        assert torch.equal(model.weight, ema.shadow["weight"])
        assert not model.training
    assert torch.equal(model.weight, before)
    assert model.training


def test_ema_is_swapped_out_after_an_error() -> None:
    model = Tiny()
    ema = Ema(model, 0.5)
    model.weight.data += 1
    before = model.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), ema.applied(model):
        raise KeyboardInterrupt
    assert torch.equal(model.weight, before)


def test_ema_does_not_follow_the_weights_by_reference() -> None:
    model = Tiny()
    ema = Ema(model, 0.5)
    model.weight.data += 1
    assert torch.equal(ema.shadow["weight"], torch.tensor([1.0, -2.0]))


def test_ema_averages_in_fp32() -> None:
    model = Tiny().bfloat16()
    ema = Ema(model, 0.999)
    for _ in range(3):
        ema.update(model)
    assert ema.shadow["weight"].dtype == torch.float32


def test_ema_state_round_trip_continues_alike() -> None:
    model = Tiny()
    ema, again = Ema(model, 0.9), Ema(Tiny(), 0.9)
    model.weight.data *= 3
    ema.update(model)
    again.load(ema.state())
    for each in (ema, again):
        each.update(model)
    assert again.updates == ema.updates
    assert torch.equal(again.shadow["weight"], ema.shadow["weight"])


def test_ema_state_does_not_hold_buffers() -> None:
    assert set(Ema(Tiny(), 0.9).state()) == {"updates", "shadow.weight"}
