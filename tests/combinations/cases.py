"""What is combined: verbs, models, wishes, samplers, steerings and options; and which combinations are refused, by what error."""

from collections.abc import Mapping
from typing import Any

from cdlm.sampling.loop import EarlyStop
from cdlm.sampling.particles import Particles
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, Clamp, Commit, DPMpp2M, QSample, Reopen
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from tests.combinations.covering import Row

SAMPLERS: dict[str, Sampler | None] = {
    "default": None,
    "ddim": DDIM(),
    "ddim, eta 0": DDIM(eta=0.0),
    "qsample": QSample(),
    "dpm++": DPMpp2M(),
    "clamp": Clamp(),
    "clamp(dpm++)": Clamp(DPMpp2M()),
    "clamp(commit)": Clamp(Commit(commit_from=0.7)),
    "clamp(reopen)": Clamp(Reopen(rounds=2, steps=2, look=0.3)),
    "commit": Commit(),
    "commit, free": Commit(floor=1.0, spread=1.0, top_p=0.9),
    "commit(clamp)": Commit(Clamp(QSample()), commit_from=0.8, even=True),
    "reopen": Reopen(rounds=2, steps=2),
    "reopen(ddim)": Reopen(DDIM(), rounds=1, steps=2, share=0.5, look=0.5),
    "reopen(clamp)": Reopen(Clamp(Commit()), rounds=1, steps=3, clock=0.6, look=0.2, undo=False),
    "reopen, random": Reopen(Commit(floor=1.0), rounds=3, steps=2, share=0.4, random=True),
}
STEERINGS: dict[str, Steering] = {
    "tilt": TiltPosterior(),
    "shift": ShiftEstimate(),
    "descend": DescendLatent(),
    "particles": Particles(count=2, every=2),
    "particles(shift)": Particles(ShiftEstimate(), count=3, every=3, sharpness=4.0),
    "particles(descend)": Particles(DescendLatent(updates=1), count=2, every=1),
}
BLIND = ("default", "commit, free", "reopen, random")
"""Samplers that keep open positions at pure noise."""

AXES: dict[str, list[str]] = {
    "verb": ["generate", "infill", "edit", "stream", "long"],
    "model": ["plain", "pieces", "sourced", "sourceless"],
    "wishes": ["none", "exact", "soft", "mixed", "guided", "tags", "tree", "spans", "spelled", "not"],
    "sampler": list(SAMPLERS),
    "steering": list(STEERINGS),
    "steps": ["6", "1", "4"],
    "early stop": ["never", "sure", "soon"],
    "candidates": ["1", "2", "consensus"],
    "missed": ["return", "resample", "raise"],
    "temperature": ["1", "0.4", "2"],
    "guidance scale": ["1", "0", "2"],
    "seed": ["0", "3"],
}
"""Options by name; the first value of each is what is usual."""

PRODUCT = AXES | {
    "model": ["plain", "pieces", "sourced"],
    "wishes": ["none", "exact", "soft", "mixed"],
    "steps": ["6"],
    "early stop": ["never", "soon"],
    "candidates": ["1", "2"],
    "missed": ["return"],
    "temperature": ["1"],
    "guidance scale": ["1"],
    "seed": ["0"],
}
"""What is combined in full: every verb, model, sampler and steering with wishes of every kind, early stop and candidates.

Batch sizes and callbacks are no axes: every combination is written with several."""

SOFT = {"soft", "mixed", "tags", "tree", "spans", "spelled", "not"}
ONLY = {
    "plain": SOFT,
    "pieces": {"soft", "mixed", "spelled"},
    "sourced": {"soft", "mixed"},
    "sourceless": {"soft", "mixed"},
}
"""Soft wishes that a model has heads for."""


def options(row: Row) -> dict[str, Any]:
    """The options of a combination as the pipeline takes them; what is usual is left out."""
    early = {"never": {}, "sure": {"early_stop": True}, "soon": {"early_stop": EarlyStop(patience=1, certainty=0.5)}}
    several = {"1": {}, "2": {"num_candidates": 2}, "consensus": {"num_candidates": 2, "select": "mbr"}}
    found: dict[str, Any] = {
        "sampler": SAMPLERS[row["sampler"]],
        "steering": STEERINGS[row["steering"]],
        "num_inference_steps": int(row["steps"]),
        "seed": int(row["seed"]),
        **early[row["early stop"]],
        **several[row["candidates"]],
    }
    plain = {"missed": "return", "temperature": "1", "guidance scale": "1"}
    given = {
        "missed": ("on_unsatisfied", str),
        "temperature": ("temperature", float),
        "guidance scale": ("guidance_scale", float),
    }
    return found | {name: kind(row[axis]) for axis, (name, kind) in given.items() if row[axis] != plain[axis]}


def impossible(row: Row) -> bool:
    """No request at all: a wish for a head that the model of this suite does not have."""
    model, wishes = row.get("model"), row.get("wishes")
    return model is not None and wishes in SOFT and wishes not in ONLY[model]


def refusals(row: Row) -> list[str]:
    """What the error may say that this combination is refused with, as far as the row goes; nothing: texts are written."""
    return [said for said, holds in REFUSALS.items() if holds({**UNSET, **row})]


UNSET = dict.fromkeys(AXES, "")


def _blind(row: Mapping[str, str]) -> bool:
    return row["sampler"] in BLIND and row["steering"] not in {"", "tilt", "particles"}


REFUSALS = {
    "has no option 'num_candidates'": lambda r: (
        r["verb"] in {"edit", "stream"} and r["candidates"] in {"2", "consensus"}
    ),
    "has no option 'on_unsatisfied'": lambda r: r["verb"] == "stream" and r["missed"] in {"resample", "raise"},
    "a text with a source is never longer": lambda r: (
        r["verb"] == "long" and r["model"] == "sourced" and r["guidance scale"] in {"1", "2"}
    ),
    "give a source too": lambda r: (
        r["model"] in {"plain", "pieces", "sourceless"} and r["guidance scale"] in {"0", "2"}
    ),
    "speaks of a text as a whole": lambda r: r["verb"] == "long" and r["wishes"] in SOFT,
    "keeps open positions at pure noise": lambda r: _blind(r) and r["wishes"] in SOFT | {"exact", "guided"},
}
"""Combinations that are refused before any sampling, by the error's words."""
