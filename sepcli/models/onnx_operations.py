"""Operations that ONNX lacks, put together from those that it has.

A complex tensor is its pairs, real and imaginary parts in a last dimension: `REAL` has real forms
of operations on real tensors, `ON_PAIRS` of those on complex ones, each by torch's operation.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_ATEN = torch.ops.aten

# Real operations on real tensors that ONNX lacks.


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


# Fourier transforms; a complex tensor is its pairs, `[..., 2]`.


def fourier(size: int, *, inverse: bool = False) -> Tensor:
    """A transform of `size` real values as a matrix `[size, 2 bins]`, or its inverse, turned."""
    time, bins = np.arange(size)[:, None], np.arange(size // 2 + 1)
    angles = 2 * np.pi / size * (time * bins % size)
    kernels = np.stack((np.cos(angles), -np.sin(angles)), -1)
    if inverse:  # each bin stands for its mirror image too, where it has one
        mirrored = np.where((bins > 0) & (2 * bins < size), 2.0, 1.0)
        kernels *= mirrored[:, None] / size
    matrix = kernels.reshape(size, -1).astype(np.float32)
    return torch.from_numpy(matrix.T.copy() if inverse else matrix)


def rfft(_: Any, frames: Tensor, n: int | None = None, dim: int = -1) -> Tensor:
    """Spectra `[..., bins, 2]` of frames `[..., size]`, by a matrix."""
    size = shape_of(frames)[-1]
    if dim not in (-1, frames.dim() - 1) or n not in (None, size):
        raise NotImplementedError("no real form of a transform of another length")
    return (frames @ fourier(size)).view(*shape_of(frames)[:-1], size // 2 + 1, 2)


def irfft(_: Any, pairs: Tensor, n: int | None = None, dim: int = -1) -> Tensor:
    """Frames `[..., size]` of spectra `[..., bins, 2]`, by a matrix."""
    bins = shape_of(pairs)[-2]
    size = n or 2 * (bins - 1)
    if dim not in (-1, pairs.dim() - 2) or bins != size // 2 + 1:
        raise NotImplementedError("no real form of a transform of another length")
    return pairs.flatten(-2) @ fourier(size, inverse=True)


def stft(
    pairs: Any,
    waveforms: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int | None = None,
    window: Tensor | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Spectra `[batch, bins, frames, 2]` of waveforms already padded."""
    if win_length not in (None, n_fft) or window is None or normalized:
        raise NotImplementedError("no real form of a transform of this kind")
    frames = unfold(waveforms, -1, n_fft, hop_length) * window
    return rfft(pairs, frames).transpose(-2, -3)


def istft(
    pairs: Any,
    spectra: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """Waveforms `[batch, time]` of spectra `[batch, bins, frames, 2]`."""
    if win_length not in (None, n_fft) or window is None or normalized or not center:
        raise NotImplementedError("no real form of a transform of this kind")
    frames = irfft(pairs, spectra.transpose(-2, -3), n_fft) * window  # [batch, frames, n_fft]
    weights = window.square().expand(1, shape_of(frames)[1], n_fft)
    summed, cover = overlap_add(frames, hop_length), overlap_add(weights, hop_length)
    start = n_fft // 2
    end = shape_of(summed)[-1]
    stop = end - start if length is None else min(end, start + length)
    kept = summed[:, start:stop] / cover[:, start:stop].clamp_min(1e-11)
    return kept if length is None else F.pad(kept, (0, length - (stop - start)))


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Sum of frames `[batch, frames, size]` that begin `hop` samples apart."""
    _, count, size = shape_of(frames)
    shape = (1, (count - 1) * hop + size)
    summed = F.fold(transpose(frames, -1, -2), shape, (1, size), stride=(1, hop))
    return summed.flatten(1)


# Operations on complex tensors as pairs. Each takes first which of its arguments are complex.


def multiply(pairs: Sequence[bool], first: Any, second: Any) -> Tensor:
    """Products of complex numbers, or of complex with real ones."""
    if not all(pairs[:2]):  # one of them is real
        one, other = (first, second) if pairs[0] else (second, first)
        product: Tensor = one * (other.unsqueeze(-1) if isinstance(other, Tensor) else other)
        return product
    (a, b), (c, d) = first.unbind(-1), second.unbind(-1)
    return torch.stack((a * c - b * d, a * d + b * c), -1)


def divide(pairs: Sequence[bool], first: Any, second: Any) -> Tensor:
    """Complex over real numbers."""
    if not pairs[0] or (len(pairs) > 1 and pairs[1]):
        raise NotImplementedError("no real form of a division by complex numbers")
    quotient: Tensor = first / (second.unsqueeze(-1) if isinstance(second, Tensor) else second)
    return quotient


def along(operation: Callable[..., Any], first: int, last: int) -> Callable[..., Any]:
    """An operation whose arguments from `first` to `last` are dimensions, for pairs."""

    def on_pairs(_: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        placed = [
            arg - 1 if first <= place <= last and arg < 0 else arg for place, arg in enumerate(args)
        ]
        return operation(tensor, *placed, **kwargs)

    return on_pairs


def sum_over(_: Any, tensor: Tensor, dim: Sequence[int], keepdim: bool = False) -> Tensor:
    """Sums over dimensions."""
    return tensor.sum([axis - 1 if axis < 0 else axis for axis in dim], keepdim)


def pad_pairs(_: Any, tensor: Tensor, pad: Sequence[int], *args: Any) -> Tensor:
    """Pairs with zeros around them."""
    return F.pad(tensor, (0, 0, *pad), *args)


def unfold_pairs(_: Any, tensor: Tensor, dim: int, size: int, step: int) -> Tensor:
    """As `unfold`."""
    frames = unfold(tensor, dim - 1 if dim < 0 else dim, size, step)  # [..., 2, size]
    return frames.transpose(-1, -2)


def flatten(_: Any, tensor: Tensor, start: int = 0, end: int = -1) -> Tensor:
    """Neighbouring dimensions as one."""
    return tensor.flatten(*(axis - 1 if axis < 0 else axis for axis in (start, end)))


def same(_: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """What is written in the same way as pairs."""
    return tensor


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
    _ATEN._assert_tensor_metadata.default: lambda *_, **__: None,
    _ATEN.lift_fresh_copy.default: lambda tensor: tensor,
    _ATEN.detach_.default: lambda tensor: tensor,
}
ON_PAIRS: dict[Any, Callable[..., Any]] = {
    _ATEN.fft_rfft.default: rfft,
    _ATEN.fft_irfft.default: irfft,
    _ATEN.stft.default: stft,
    _ATEN.istft.default: istft,
    _ATEN.view_as_real.default: same,
    _ATEN.view_as_complex.default: same,
    _ATEN.contiguous.default: same,
    _ATEN.complex.default: lambda _, real, imag: torch.stack((real, imag), -1),
    _ATEN.polar.default: lambda _, r, angle: torch.stack((r * angle.cos(), r * angle.sin()), -1),
    _ATEN.real.default: lambda _, tensor: tensor[..., 0],
    _ATEN.imag.default: lambda _, tensor: tensor[..., 1],
    _ATEN._conj.default: lambda _, tensor: tensor * torch.tensor([1.0, -1.0]),
    _ATEN.abs.default: lambda _, tensor: tensor.square().sum(-1).sqrt(),
    _ATEN.mul.Tensor: multiply,
    _ATEN.div.Tensor: divide,
    _ATEN.sum.dim_IntList: sum_over,
    _ATEN.pad.default: pad_pairs,
    _ATEN.unfold.default: unfold_pairs,
    _ATEN.flatten.using_ints: flatten,
    _ATEN.unsqueeze.default: along(torch.unsqueeze, 0, 0),
    _ATEN.transpose.int: along(torch.transpose, 0, 1),
    _ATEN.select.int: along(torch.select, 0, 0),
    _ATEN.slice.Tensor: along(_ATEN.slice.Tensor, 0, 0),
    _ATEN.split_with_sizes.default: along(split, 1, 1),
    operator.getitem: lambda _, parts, place: parts[place],
}
