"""What messages run over at every step: the states that a text can be in there, and the edges between them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cdlm.control.automata.graph import Graph, graph_of, steps_of
from cdlm.control.automata.track import Track
from cdlm.control.canvas import Canvas
from cdlm.control.rows import Row


@dataclass(frozen=True, eq=False)
class Layer:
    """One step: from the states before it to those after it; behind the states of each layer stands one that is dead.

    Attributes:
        states, after: how many can be before the step and after it, the dead ones counted.
        ahead, ahead_members: for every state before the step where each of its edges leads, and the edge's set.
        source, target, members: of the edges one by one.
        reads, jumps: whether some text reads a token here, and some a symbol.
        moved: where the symbol of each text leads from every state before the step, shape (batch, states).
    """

    states: int
    after: int
    ahead: Int[Tensor, "before out"]
    ahead_members: Int[Tensor, "before out"]
    source: Int[Tensor, " edges"]
    target: Int[Tensor, " edges"]
    members: Int[Tensor, " edges"]
    reads: bool
    jumps: bool
    moved: Int[Tensor, "batch before"]


@dataclass(frozen=True, eq=False)
class Layers:
    """The steps of a batch of texts.

    Attributes:
        symbol, place: of every step: a symbol, or 0 and the position of a token, shape (batch, steps).
        layers: one for every step. first: the layer's number of the state that reading begins in.
        accept: of the states behind the last step, whether a text may end there.
        possible: which texts can be accepted at all.
        classes, sets: see :class:`Graph`.
    """

    symbol: Int[Tensor, "batch steps"]
    place: Int[Tensor, "batch steps"]
    layers: tuple[Layer, ...]
    first: int
    accept: Bool[Tensor, " states"]
    possible: Bool[Tensor, " batch"]
    classes: Int[Tensor, " vocab"]
    sets: Bool[Tensor, "sets classes"]


def layers_of(track: Track, rows: Sequence[Row], canvas: Canvas) -> Layers:
    """The layers of rows of one length on their canvas, of which only what can be accepted is kept.

    Raises:
        LanguageError: the automaton has too many edges.
    """
    graph, device = graph_of(track), canvas.tokens.device
    steps = np.array([steps_of(track, row) for row in rows])
    symbol, place = steps[..., 0], steps[..., 1]
    readable = _readable(graph, canvas)[np.arange(len(rows))[:, None], place]
    live = _live(graph, symbol, readable)
    kept = [np.flatnonzero(live[:, step].any(0)) for step in range(live.shape[1])]
    layers = tuple(
        _layer(graph, symbol[:, n], readable[:, n].any(0), kept[n], kept[n + 1], device) for n in range(symbol.shape[1])
    )
    accept = torch.from_numpy(np.append(graph.accept[kept[-1]], False)).to(device)
    return Layers(
        torch.from_numpy(symbol).to(device),
        torch.from_numpy(place).to(device),
        layers,
        int(np.searchsorted(kept[0], 0)),
        accept,
        torch.from_numpy(live[:, 0, 0]).to(device),
        torch.from_numpy(graph.classes).to(device),
        torch.from_numpy(graph.sets).to(device),
    )


def _readable(graph: Graph, canvas: Canvas) -> np.ndarray:
    """Whether a token of each set may stand at each position, shape (batch, length, sets)."""
    classes = torch.from_numpy(graph.classes).to(canvas.tokens.device)
    count = graph.sets.shape[1]
    allowed = canvas.allowed.new_zeros(*canvas.shape, count, dtype=torch.float32)
    allowed.index_add_(2, classes, canvas.allowed.float())
    decided = torch.nn.functional.one_hot(classes[canvas.tokens], count).float()
    possible = torch.where(canvas.decided[..., None], decided, allowed) > 0
    found: np.ndarray = (possible.cpu().numpy().astype(np.float32) @ graph.sets.T.astype(np.float32)) > 0
    return found


def _live(graph: Graph, symbol: np.ndarray, readable: np.ndarray) -> np.ndarray:
    """Which states are on an accepting path of each text before each step, shape (batch, steps + 1, states)."""
    batch, steps = symbol.shape
    size = len(graph.accept)
    ahead = np.zeros((batch, steps + 1, size), bool)
    behind = np.zeros((batch, steps + 1, size), bool)
    ahead[:, 0, 0] = True
    behind[:, steps] = graph.accept
    for text in range(batch):
        for step in range(steps):
            source, target = _moves(graph, int(symbol[text, step]), readable[text, step])
            ahead[text, step + 1, target[ahead[text, step, source]]] = True
        for step in reversed(range(steps)):
            source, target = _moves(graph, int(symbol[text, step]), readable[text, step])
            behind[text, step, source[behind[text, step + 1, target]]] = True
    live = ahead & behind
    live[..., -1] = False
    return live


def _moves(graph: Graph, symbol: int, readable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Source and target of what a step may do."""
    if symbol:
        return np.arange(len(graph.accept)), graph.symbols[symbol]
    edges = readable[graph.members]
    return graph.source[edges], graph.target[edges]


def _layer(
    graph: Graph, symbol: np.ndarray, readable: np.ndarray, before: np.ndarray, after: np.ndarray, device: torch.device
) -> Layer:
    size = len(graph.accept)
    old, new = np.full(size, len(before)), np.full(size, len(after))
    old[before], new[after] = np.arange(len(before)), np.arange(len(after))
    edges = (old[graph.source] < len(before)) & (new[graph.target] < len(after)) & readable[graph.members]
    source, target, members = old[graph.source[edges]], new[graph.target[edges]], graph.members[edges]
    none = len(graph.sets) - 1
    ahead = _padded(source, len(before) + 1, len(source))
    targets, sets = np.append(target, len(after)), np.append(members, none)
    moved = np.full((len(symbol), len(before) + 1), len(after))
    moved[:, :-1] = new[graph.symbols[symbol][:, before]]

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Layer(
        states=len(before) + 1,
        after=len(after) + 1,
        ahead=tensor(targets[ahead]),
        ahead_members=tensor(sets[ahead]),
        source=tensor(source),
        target=tensor(target),
        members=tensor(members),
        reads=bool((symbol == 0).any()),
        jumps=bool((symbol > 0).any()),
        moved=tensor(moved),
    )


def _padded(ends: np.ndarray, states: int, none: int) -> np.ndarray:
    """The numbers of the edges at every state, padded with ``none``."""
    order = np.argsort(ends, kind="stable")
    counts = np.bincount(ends, minlength=states)
    table = np.full((states, max(1, int(counts.max(initial=0)))), none)
    place = np.arange(len(ends)) - np.repeat(counts.cumsum() - counts, counts)
    table[ends[order], place] = order
    return table
