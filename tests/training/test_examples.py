"""What a head is shown in training: every noise, and the states that samplers leave a text in."""

import torch

from cdlm.training.examples import Example, HeadBatches
from cdlm.training.noising import ClockMixture, Noising

MIXTURE = ClockMixture(uniform=1, scattered=0, gap=0, prefix=0, rising=0, independent=0, masked=0)
NOISING = Noising(dim=4, max_length=16, clocks=MIXTURE, window=0.0, seed=3)


def batches(steps: int) -> HeadBatches:
    return HeadBatches([Example(tuple(range(4, 4 + n)), tokens=(0,) * n) for n in range(2, 9)], NOISING, steps, 64)


def test_a_head_sees_finished_texts_pure_noise_and_everything_between() -> None:
    data = batches(200)
    kinds = {"finished": 0, "pure": 0, "between": 0}
    for item in (data[n] for n in range(len(data))):
        mask = item["batch"].mask
        for row, t in enumerate(item["batch"].t):
            words = t if mask is None else t[mask[row]]
            noised = words[1:-1]  # START and END stay as they are
            kinds["finished" if not noised.any() else "pure" if bool((noised == 1).all()) else "between"] += 1
    whole = sum(kinds.values())
    assert whole > 500
    assert 0.05 < kinds["finished"] / whole < 0.15
    assert 0.4 < kinds["pure"] / whole < 0.6
    assert kinds["between"] / whole > 0.3


def test_a_batch_belongs_to_its_number() -> None:
    one, other = batches(9)[7]["batch"], batches(9)[7]["batch"]
    assert torch.equal(one.t, other.t)
    assert torch.equal(one.eps, other.eps)
    assert not torch.equal(one.eps, batches(9)[6]["batch"].eps)
