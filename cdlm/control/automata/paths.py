"""Exact following: the posterior of a factorised belief under an automaton, and draws of whole accepting paths.

Messages run over (step, state), for a batch of texts at once, scaled at every step (Rabiner 1989): ``behind[t][s]`` is the
weight of all ways to finish from state s at step t, ``before[t][s]`` of all ways to come there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cdlm.control.automata.layers import Layers, layers_of
from cdlm.control.automata.track import Track
from cdlm.control.canvas import Canvas
from cdlm.control.rows import Row
from cdlm.types import Logits, Mask, Tokens

FLOORS = (-80.0, -4.0)
"""Nats below the likeliest token that a token which the canvas allows is believed at least: what soft wishes speak against stays
possible. The second where a text is so unlikely that the numbers run out."""


@dataclass(frozen=True, eq=False)
class Paths:
    """The accepting paths of a batch of texts of one length."""

    layers: Layers

    @classmethod
    def of(cls, track: Track, rows: Sequence[Row], canvas: Canvas) -> "Paths":
        """For rows that are laid out along the track, on their canvas.

        Raises:
            LanguageError: the automaton has too many edges.
        """
        return cls(layers_of(track, rows, canvas))

    @property
    def possible(self) -> Bool[Tensor, " batch"]:
        """Whether any path is left of each text by what its canvas decides and allows."""
        return self.layers.possible

    def read(self, logits: Logits, canvas: Canvas) -> "Reading":
        """What the paths make of a belief."""
        floor = logits.new_full((len(logits), 1), FLOORS[0])
        reading = Reading(self.layers, logits, canvas, floor)
        if reading.possible.all():
            return reading
        return Reading(self.layers, logits, canvas, torch.where(reading.possible[:, None], floor, FLOORS[1]))


@dataclass(frozen=True, eq=False)
class Reading:
    """A belief read along the paths.

    Attributes:
        logits: the belief. canvas: which positions are decided, and how. floor: of each text, see :data:`FLOORS`.
    """

    layers: Layers
    logits: Logits
    canvas: Canvas
    floor: Float[Tensor, "batch 1"]

    def through(self, where: Mask, tokens: Tokens) -> "Reading":
        """The same belief on a canvas that is decided at further places."""
        return Paths(self.layers).read(self.logits, self.canvas.pin(where, tokens))

    @cached_property
    def _open(self) -> Mask:
        """Positions whose belief is looked at: those that are open."""
        return ~self.canvas.decided

    @cached_property
    def _log_belief(self) -> Float[Tensor, "open vocab"]:
        """log p of every token at the open positions; what is possible is never less likely than the floor allows."""
        logits = self.logits[self._open].float()
        possible = logits > -torch.inf
        lowest = logits.amax(-1, keepdim=True) + self.floor.expand(self._open.shape)[self._open][:, None]
        return torch.where(possible, torch.maximum(logits, lowest), -torch.inf).log_softmax(-1)

    @cached_property
    def _steps(self) -> Float[Tensor, "batch steps sets"]:
        """P of each set of tokens where each step reads; 0 where no token of it is possible."""
        sets = self.layers.sets.double().T
        mass = torch.nn.functional.one_hot(self.layers.classes[self.canvas.tokens], len(sets)).double()
        opened = mass.new_zeros(len(self._log_belief), len(sets))
        mass[self._open] = opened.index_add_(1, self.layers.classes, self._log_belief.exp().double())
        rows = torch.arange(len(mass), device=mass.device)[:, None]
        return (mass @ sets)[rows, self.layers.place]

    @cached_property
    def _behind(self) -> list[Float[Tensor, "batch states"]]:
        """Weight of finishing from every state, before each step and at the end."""
        behind = [self.layers.accept.double().expand(len(self.canvas.tokens), -1)]
        for step in range(len(self.layers.layers) - 1, -1, -1):
            layer, after = self.layers.layers[step], behind[-1]
            found = after.gather(1, layer.moved) if layer.jumps else after.new_zeros(len(after), layer.states)
            if layer.reads:
                weight = self._steps[:, step][:, layer.members] * after[:, layer.target]
                read = after.new_zeros(len(after), layer.states).index_add_(1, layer.source, weight)
                found = torch.where(self.layers.symbol[:, step, None] > 0, found, read) if layer.jumps else read
            behind.append(_scaled(found))
        return behind[::-1]

    @cached_property
    def _before(self) -> list[Float[Tensor, "batch states"]]:
        """Weight of coming to every state, before each step and at the end."""
        before = [torch.zeros_like(self._behind[0])]
        before[0][:, self.layers.first] = 1.0
        for step, layer in enumerate(self.layers.layers):
            here = before[-1]
            found = here.new_zeros(len(here), layer.after)
            if layer.jumps:
                found.scatter_add_(1, layer.moved, here)
                found[:, -1] = 0.0  # the dead state
            if layer.reads:
                weight = self._steps[:, step][:, layer.members] * here[:, layer.source]
                read = torch.zeros_like(found).index_add_(1, layer.target, weight)
                found = torch.where(self.layers.symbol[:, step, None] > 0, found, read) if layer.jumps else read
            before.append(_scaled(found))
        return before

    @property
    def possible(self) -> Bool[Tensor, " batch"]:
        """Which texts can be finished."""
        return self._behind[0][:, self.layers.first] > 0

    @cached_property
    def posterior(self) -> Logits:
        """The belief about each position, given that the text is accepted; as it was where no path is left."""
        classes = self._odds @ self.layers.sets.double()
        rows, steps = torch.nonzero(self.layers.symbol == 0, as_tuple=True)
        places = self.layers.place[rows, steps]
        chosen = self._open[rows, places] & self.possible[rows]
        rows, steps, places = rows[chosen], steps[chosen], places[chosen]
        number = self._open.flatten().cumsum(0).view_as(self._open)[rows, places] - 1
        shift = classes[rows, steps].log().float()[:, self.layers.classes]
        posterior = self.logits.clone()
        posterior[rows, places] = (self._log_belief[number] + shift).to(posterior.dtype)
        return posterior

    @cached_property
    def _odds(self) -> Float[Tensor, "batch steps sets"]:
        """For every step and set the weight of the paths through its edges over that of all, its own probability left out."""
        odds = torch.zeros_like(self._steps)
        for step, layer in enumerate(self.layers.layers):
            if layer.reads:
                through = self._before[step][:, layer.source] * self._behind[step + 1][:, layer.target]
                odds[:, step].index_add_(1, layer.members, through)
        return odds / (odds * self._steps).sum(-1, keepdim=True).clamp(min=1e-300)

    def draw(
        self, uniform: Float[Tensor, "batch length 2"], where: Mask, top_p: float = 1.0
    ) -> tuple[Tokens, Bool[Tensor, " batch"]]:
        """Tokens of one accepting path of each text at the places ``where``, and which texts have one.

        Args:
            uniform: two numbers per position: the first draws the path, the second the token along it.
            top_p: of the tokens along the path the smallest set that holds this much of their probability.
        """
        chosen, none = self._path(uniform[..., 0]), len(self.layers.sets) - 1
        rows, steps = torch.nonzero(self.layers.symbol == 0, as_tuple=True)
        sets = torch.full_like(self.canvas.tokens, none)
        sets[rows, self.layers.place[rows, steps]] = chosen[rows, steps]
        wanted = where & self._open & (sets < none) & self.possible[:, None]
        members = self.layers.sets[sets[wanted]][:, self.layers.classes]
        belief = self._log_belief[wanted[self._open]].masked_fill(~members, -torch.inf)
        tokens = self.canvas.tokens.clone()
        tokens[wanted] = _token(belief, uniform[..., 1][wanted], top_p)
        return tokens, self.possible

    def _path(self, uniform: Float[Tensor, "batch length"]) -> Int[Tensor, "batch steps"]:
        """The set that is read at each step, drawn forwards by the weight of what can follow."""
        batch = torch.arange(len(uniform), device=uniform.device)
        state = torch.full_like(batch, self.layers.first)
        chosen = []
        for step, layer in enumerate(self.layers.layers):
            moved, members = layer.moved[batch, state], torch.full_like(batch, len(self.layers.sets) - 1)
            if layer.reads:
                sets, targets = layer.ahead_members[state], layer.ahead[state]
                weight = self._steps[:, step].gather(1, sets) * self._behind[step + 1].gather(1, targets)
                edge = _drawn(weight, uniform[batch, self.layers.place[:, step]])[:, None]
                token = self.layers.symbol[:, step] == 0
                moved = torch.where(token, targets.gather(1, edge)[:, 0], moved)
                members = torch.where(token, sets.gather(1, edge)[:, 0], members)
            state = moved
            chosen.append(members)
        return torch.stack(chosen, 1)


def _scaled(weights: Float[Tensor, "batch states"]) -> Float[Tensor, "batch states"]:
    """The same proportions, the greatest 1."""
    return weights / weights.amax(1, keepdim=True).clamp(min=1e-300)


def _drawn(weights: Float[Tensor, "batch options"], uniform: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """One option of each text, by its weight; any where all are impossible."""
    upto = weights.cumsum(1)
    found = torch.searchsorted(upto, (uniform * upto[:, -1])[:, None].to(upto), right=True)
    return found.squeeze(1).clamp(max=weights.shape[1] - 1)


def _token(
    belief: Float[Tensor, "places vocab"], uniform: Float[Tensor, " places"], top_p: float
) -> Int[Tensor, " places"]:
    """One token of each place, likeliest first."""
    ordered, tokens = torch.sort(belief.double().softmax(-1), dim=-1, descending=True, stable=True)
    upto = ordered.cumsum(-1)
    kept = upto[..., -1].clamp(max=top_p)
    found = torch.searchsorted(upto, (uniform * kept)[:, None], right=True).clamp(max=belief.shape[1] - 1)
    return tokens.gather(1, found).squeeze(1)
