"""Operations on real tensors that ONNX lacks, put together from those that it has.

`REAL` has each by torch's operation; `onnx_pairs` has those on complex tensors.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ATEN = torch.ops.aten


def shape_of(tensor: Tensor) -> list[int]:
    """The shape in plain numbers; the exporter would make operations of what is done with it."""
    return [int(size) for size in tensor.shape]


def unfold(tensor: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Overlapping frames, put together from slices."""
    dim %= tensor.dim()
    count = (shape_of(tensor)[dim] - size) // step + 1
    if size % step:  # one slice a place in the frame
        ends = [k + (count - 1) * step + 1 for k in range(size)]
        places = [_ATEN.slice(tensor, dim, k, end, step) for k, end in enumerate(ends)]
        return torch.stack(places, -1)
    blocks = count + size // step - 1  # one slice a step in the frame
    last = tensor.dim() - 1
    tensor = tensor.narrow(dim, 0, blocks * step).movedim(dim, last)
    tensor = tensor.reshape(*shape_of(tensor)[:-1], blocks, step)
    steps = [tensor.narrow(last, k, count) for k in range(size // step)]
    return torch.cat(steps, -1).movedim(last, dim)


def split(tensor: Tensor, sizes: int | Sequence[int], dim: int = 0) -> list[Tensor]:
    """Parts of a tensor, each a slice."""
    whole = shape_of(tensor)[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, whole - start) for start in range(0, whole, sizes)]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [tensor.narrow(dim, start, size) for start, size in zip(starts, sizes, strict=True)]


def chunk(tensor: Tensor, chunks: int, dim: int = 0) -> list[Tensor]:
    """Parts of a tensor, of one size but for the last."""
    return split(tensor, -(-shape_of(tensor)[dim] // chunks), dim)


def transpose(tensor: Tensor, first: int, second: int) -> Tensor:
    """The exporter knows dimensions from the front only."""
    return tensor.transpose(first % tensor.dim(), second % tensor.dim())


def movedim(tensor: Tensor, source: int, target: int) -> Tensor:
    """As `transpose`."""
    return tensor.movedim(source % tensor.dim(), target % tensor.dim())


def permute(tensor: Tensor, dims: Sequence[int]) -> Tensor:
    """As `transpose`."""
    return tensor.permute([dim % tensor.dim() for dim in dims])


def adaptive_pool(tensor: Tensor, targets: Sequence[int]) -> Tensor:
    """Means over even shares of the last dimensions, each by a matrix."""
    for back, target in enumerate(reversed(targets), start=1):
        size = shape_of(tensor)[-back]
        if size != target:
            place, share = np.arange(size), np.arange(target)[:, None]
            inside = (place >= share * size // target) & (place < -(-(share + 1) * size // target))
            matrix = torch.from_numpy((inside / inside.sum(1, keepdims=True)).astype(np.float32))
            tensor = transpose(transpose(tensor, -back, -1) @ matrix.T, -back, -1)
    return tensor


def rms_norm(
    tensor: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Features over the root of their mean square; sums and a root."""
    eps = torch.finfo(tensor.dtype).eps if eps is None else eps
    dims = list(range(-len(shape), 0))
    normed = tensor * (tensor.square().mean(dims, keepdim=True) + eps).rsqrt()
    return normed if weight is None else normed * weight


def std(
    tensor: Tensor,
    dim: Sequence[int] | None = None,
    *,
    correction: float = 1,
    keepdim: bool = False,
) -> Tensor:
    """Standard deviations, from sums."""
    dims = list(range(tensor.dim())) if dim is None else list(dim)
    count = math.prod(shape_of(tensor)[axis] for axis in dims)
    centred = tensor - tensor.mean(dims, keepdim=True)
    return (centred.square().sum(dims, keepdim=keepdim) / (count - correction)).sqrt()


def batch_norm(
    tensor: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Any,
    variance: Any,
    training: bool,
    *how: Any,
) -> Tensor:
    """Channels normalised over all else where no statistics are kept, from means."""
    if not training:
        kept: Tensor = _ATEN.batch_norm.default(
            tensor, weight, bias, mean, variance, training, *how
        )
        return kept
    others = [axis for axis in range(tensor.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(tensor.dim())]
    centred = tensor - tensor.mean(others, keepdim=True)
    eps = how[1]  # after the momentum
    normed: Tensor = centred * (centred.square().mean(others, keepdim=True) + eps).rsqrt()
    return normed * weight.view(shape) + bias.view(shape)


REAL: dict[Any, Callable[..., Any]] = {
    _ATEN.unfold.default: unfold,
    _ATEN.mT.default: lambda tensor: transpose(tensor, -1, -2),
    _ATEN.transpose.int: transpose,
    _ATEN.movedim.int: movedim,
    _ATEN.permute.default: permute,
    _ATEN.split.Tensor: split,
    _ATEN.split_with_sizes.default: split,
    _ATEN.chunk.default: chunk,
    _ATEN.adaptive_avg_pool1d.default: adaptive_pool,
    _ATEN.adaptive_avg_pool2d.default: adaptive_pool,
    _ATEN.rms_norm.default: rms_norm,
    _ATEN.std.correction: std,
    _ATEN.batch_norm.default: batch_norm,
    _ATEN._assert_tensor_metadata.default: lambda *_, **__: None,
    _ATEN.lift_fresh_copy.default: lambda tensor: tensor,
    _ATEN.detach_.default: lambda tensor: tensor,
}
