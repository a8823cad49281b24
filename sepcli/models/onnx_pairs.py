"""Operations on complex tensors, which ONNX has not, put together from real ones.

A complex tensor is its pairs, real and imaginary parts in a last dimension. `ON_PAIRS` has each
operation by torch's.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sepcli.models.onnx_operations import shape_of, split, transpose, unfold

_ATEN = torch.ops.aten

# Fourier transforms; a complex tensor is its pairs, `[..., 2]`.


def fourier(size: int, given: int, *, inverse: bool = False) -> Tensor:
    """A transform of `size` real values as a matrix `[given, 2 bins]`, or its inverse, turned.

    Only the first `given` values need be there: zeros after them add nothing.
    """
    time, bins = np.arange(size)[:, None], np.arange(size // 2 + 1)
    angles = 2 * np.pi / size * (time * bins % size)
    kernels = np.stack((np.cos(angles), -np.sin(angles)), -1)
    if inverse:  # each bin stands for its mirror image too, where it has one
        mirrored = np.where((bins > 0) & (2 * bins < size), 2.0, 1.0)
        kernels *= mirrored[:, None] / size
    matrix = kernels.reshape(size, -1).astype(np.float32)
    return torch.from_numpy((matrix.T if inverse else matrix[:given]).copy())


def rfft(_: Any, frames: Tensor, n: int | None = None, dim: int = -1) -> Tensor:
    """Spectra `[..., bins, 2]` of frames `[..., size]`, by a matrix."""
    frames = transpose(frames, dim, -1)
    size = n or shape_of(frames)[-1]
    frames = frames[..., :size]
    pairs = (frames @ fourier(size, shape_of(frames)[-1])).view(
        *shape_of(frames)[:-1], size // 2 + 1, 2
    )
    return pairs if dim in (-1, frames.dim() - 1) else transpose(pairs, dim % frames.dim(), -2)


def irfft(_: Any, pairs: Tensor, n: int | None = None, dim: int = -1) -> Tensor:
    """Frames `[..., size]` of spectra `[..., bins, 2]`, by a matrix."""
    last = pairs.dim() - 2  # of the bins; the pairs come after it
    dim %= last + 1
    bins = shape_of(pairs)[dim]
    size = n or 2 * (bins - 1)
    if bins != size // 2 + 1:
        raise NotImplementedError("no real form of a transform of another length")
    if dim != last:
        pairs = transpose(pairs, dim, last)
    frames = pairs.flatten(-2) @ fourier(size, size, inverse=True)
    return frames if dim == last else transpose(frames, dim, last)


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


def alike(operation: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """An operation that does the same with real and with imaginary parts."""

    def on_pairs(pairs: Sequence[bool], first: Tensor, second: Tensor) -> Tensor:
        if not all(pairs[:2]):
            raise NotImplementedError("no real form of a sum of complex and real numbers")
        return operation(first, second)

    return on_pairs


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
    _ATEN.add.Tensor: alike(torch.add),
    _ATEN.sub.Tensor: alike(torch.sub),
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
