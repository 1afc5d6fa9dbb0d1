"""Tensors in shards (FSDP2): whole where they are saved and averaged, in shards where they are put back."""

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor. Of one in shards every process has to ask."""
    if not isinstance(tensor, DTensor):
        return tensor
    gathered: Tensor = tensor.full_tensor()
    return gathered


def laid_out(value: Tensor, like: Tensor) -> Tensor:
    """A whole ``value`` in shards as ``like`` is; as it is where that is whole, or of another shape."""
    if isinstance(value, DTensor) or not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def is_sharded(model: nn.Module) -> bool:
    """Whether any weight is in shards."""
    return any(isinstance(p, DTensor) for p in model.parameters())
