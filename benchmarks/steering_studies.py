"""What the steering benchmarks compare: the variants of every study, for each of its controllers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_requests import CONTROLS

from cdlm.sampling.particles import Particles
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, Commit, DPMpp2M, QSample, Reopen
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from cdlm.settings import GUIDED_STEPS, guided_sampler

CLASSICAL: Mapping[str, Sampler] = {"DDIM": DDIM(), "QSample": QSample(), "DPM++": DPMpp2M()}


@dataclass(frozen=True)
class Variant:
    """One way to steer.

    Attributes:
        options: of ``Pipeline.generate``; without steps there are as many as the study's budget pays for.
        fields: of the controller.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Variants of each of some controllers.

    Attributes:
        variants: what is compared for a controller. controls: those that it is measured on.
        budget: denoiser evaluations a text, heads, backward passes and candidates counted.
        note: what the table's reader needs to know besides.
    """

    title: str
    variants: Callable[[str], list[Variant]]
    controls: Sequence[str]
    budget: float = 40.0
    note: str = ""


def grid(control: str) -> list[Variant]:
    """Every sampler with every steering."""
    samplers = {**CLASSICAL, "Commit": Commit(), "default": guided_sampler()}
    steerings: dict[str, Steering] = {"Tilt": TiltPosterior(), "Shift": ShiftEstimate(), "Descend": DescendLatent()}
    return [
        Variant(f"{name} × {kind}", {"sampler": sampler, "steering": steering})
        for name, sampler in samplers.items()
        for kind, steering in steerings.items()
    ]


def samplers(control: str) -> list[Variant]:
    """The default, and what looked better at the few requests of the grid."""
    classical = [Variant(f"{name} × Tilt", {"sampler": CLASSICAL[name]}) for name in ("QSample", "DPM++")]
    return [Variant("default × Tilt"), *classical]


def weights(control: str) -> list[Variant]:
    """The weight of the wish, from nothing."""
    return [Variant(f"weight {weight:g}", fields={"weight": weight}) for weight in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)]


def parts(control: str) -> list[Variant]:
    """Nothing, log-evidence alone, the gradient alone, both."""
    found = [Variant("nothing", fields={"weight": 0.0}), Variant("as shipped")]
    evidence = Variant("log-evidence alone", {"steering": TiltPosterior(energies=False)})
    more = {
        "tree": [evidence, Variant("without the gradient of the arcs", fields={"arcs": 0.0})],
        "spans": [evidence, Variant("the gradient alone", fields={"templates": 0.0})],
    }
    return [*found, *more.get(control, [])]


def knobs(control: str) -> list[Variant]:
    """The wish as shipped, and one thing at a time changed, at the steps that are shipped."""
    small = Reopen(Commit(floor=1.0, top_p=0.92), rounds=8, steps=4, share=0.1, look=0.3)
    found = [
        Variant("as shipped"),
        Variant("weight 3", fields={"weight": 3.0}),
        Variant("arcs 2", fields={"arcs": 2.0}),
        Variant("tags looser", fields={"other_tag": -0.5}),
        Variant("tags stricter", fields={"other_tag": -4.0}),
        Variant("eight small rounds", {"sampler": small}),
    ]
    return [Variant(v.name, {"num_inference_steps": GUIDED_STEPS, **v.options}, v.fields) for v in found]


def reopening(control: str) -> list[Variant]:
    """The default, and one thing at a time changed."""
    inner = Commit(floor=1.0, top_p=0.92)

    def again(rounds: int = 6, steps: int = 4, share: float = 0.2, look: float = 0.3, **more: Any) -> dict[str, Any]:
        return {"sampler": Reopen(inner, rounds, steps, share, look=look, **more)}

    return [
        Variant("none", {"sampler": inner}),
        Variant("6 rounds of 4, share 0.2 (default)", again()),
        Variant("never undone", again(undo=False)),
        Variant("by surprise, not read again", again(look=0.0)),
        Variant("random positions", again(look=0.0, random=True)),
        Variant("share 0.1", again(share=0.1)),
        Variant("share 0.4", again(share=0.4)),
        Variant("3 rounds of 6, share 0.3", again(3, 6, 0.3)),
    ]


def particles(control: str) -> list[Variant]:
    """Four candidates kept by their energy on the way, or by the judges at the end; one text at their cost, and at its own."""
    return [
        Variant("one text"),
        Variant("one text at a quarter", {"num_inference_steps": GUIDED_STEPS}),
        Variant("best of 4", {"num_candidates": 4}),
        Variant("4 particles", {"steering": Particles(count=4, every=3)}),
        Variant("4 particles, sharper", {"steering": Particles(count=4, every=3, sharpness=4.0)}),
    ]


STUDIES: dict[str, Study] = {
    "grid": Study("Samplers × steerings", grid, list(CONTROLS)),
    "samplers": Study("The best classical samplers against the default", samplers, ["tree", "pos"], budget=60.0),
    "weights": Study("Success and fluency over the weight", weights, list(CONTROLS)),
    "parts": Study("Log-evidence and the gradient", parts, ["tree", "spans", "attribute", "family", "sentiment"]),
    "knobs": Study(
        "The knobs of tree control", knobs, ["tree"], note=f"Every row has the {GUIDED_STEPS} steps that are shipped."
    ),
    "reopening": Study("Re-opening", reopening, ["pos", "tree", "spans"]),
    "particles": Study("Particles against best-of-n", particles, ["tree", "spans", "family"], budget=160.0),
}
