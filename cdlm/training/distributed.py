"""One run on several processes: who reads which rows, what all of them have to know, and one module to wrap.

A run means the same whatever the number of processes. Each batch is shared out by rows, an example draws its noise by
(seed, epoch, index), and every sum is taken over all processes; so a run may be resumed on another number of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from jaxtyping import Float
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cdlm.data.batches import Key, TokenBatches
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, Objective

T = TypeVar("T")


@dataclass(frozen=True)
class Silent:
    """The key of a text that fills an empty share; it enters no sum."""

    key: Key


class Share:
    """The rows of each batch that are this process's, every ``world``-th from ``rank`` on.

    A batch is sorted by length, so the shares are alike. No text is repeated to make them even: a process whose share is
    empty takes part with a text that counts for nothing.
    """

    def __init__(self, batches: TokenBatches, rank: int, world: int) -> None:
        self.batches, self.rank, self.world = batches, rank, world

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key | Silent]]:
        for batch in self.batches:
            yield list(batch[self.rank :: self.world]) or [Silent(batch[0])]


def silenced(example: dict[str, Any]) -> dict[str, Any]:
    """An example without a noised position: it adds nothing to the loss, its gradient or the clock's statistics."""
    quiet = {"t": np.zeros_like(example["t"]), "hinted": np.zeros_like(example["hinted"])}
    return {**example, **quiet, "uniform": np.bool_(False), "lag": np.float32(-1.0)}


class WithLoss(nn.Module):
    """The network and its objective as one module: DDP and FSDP see nothing but calls of the module that they wrap.

    Args:
        autocast: number format of the network's products; None computes in the weights' own.
    """

    def __init__(self, network: DiffusionLM, objective: Objective, autocast: torch.dtype | None = None) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        stacks = [m for m in network.modules() if isinstance(m, nn.ModuleList)]
        # Where FSDP looks for what it shards one after the other: the layers of the encoder, whichever it is.
        self._no_split_modules = sorted({type(layer).__name__ for stack in stacks for layer in stack})
        if autocast is not None:  # of the network alone: noise levels and losses stay in fp32
            network.forward = torch.autocast(network.device.type, autocast)(network.forward)  # type: ignore[method-assign]

    def forward(self, **fields: Tensor) -> tuple[Tensor, Tensor]:
        """Of a :class:`NoisedBatch` given by its fields: the summed loss, and the cross-entropy per position."""
        loss = self.objective(self.network, NoisedBatch(**fields))
        return loss.total, loss.nll


def from_main(value: T) -> T:
    """What the main process found, on every process."""
    (found,) = broadcast_object_list([value])
    return found  # type: ignore[no-any-return]


def total(accelerator: Accelerator, *numbers: int) -> list[int]:
    """Each number summed over all processes."""
    if accelerator.num_processes == 1:
        return list(numbers)
    summed: Tensor = accelerator.reduce(torch.tensor(numbers, device=accelerator.device), "sum")
    return [int(n) for n in summed.tolist()]


def everyones(accelerator: Accelerator, rows: Float[Tensor, "rows columns"]) -> Float[Tensor, "all columns"]:
    """The rows of all processes, which may have different numbers of them."""
    if accelerator.num_processes == 1:
        return rows
    marked = torch.cat([rows, rows.new_full((1, rows.shape[1]), torch.nan)])  # never empty, so that it can be sent
    padded = accelerator.pad_across_processes(marked, dim=0, pad_index=torch.nan)
    gathered: Tensor = accelerator.gather(padded)
    return gathered[~gathered.isnan().any(1)]


class Agree(TrainerCallback):
    """What one process wants, such as to stop at a signal or a time limit, all do at the same step. Stands last."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        wanted = total(self.accelerator, control.should_save, control.should_training_stop)
        control.should_save, control.should_training_stop = (count > 0 for count in wanted)
