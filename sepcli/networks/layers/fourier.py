"""Short-time Fourier transforms whose windows let synthesis undo analysis."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def sine_window(length: int, stride: int) -> Tensor:
    """Return the root of a Hann window, `[length]`; squares that cover a sample add up to 1.

    Args:
        length: In samples; a multiple of `stride`, at least twice as long.
        stride: Distance of windows [samples].
    """
    angles = math.pi * torch.arange(length, dtype=torch.float64) / length
    return (angles.sin() * math.sqrt(2 * stride / length)).float()


def analyse(waveforms: Tensor, window: Tensor, stride: int) -> Tensor:
    """Return spectra `[..., frames, bins]` of waveforms `[..., time]`.

    length / stride windows cover each sample.
    """
    length = len(window)
    steps = math.ceil(waveforms.shape[-1] / stride)
    after = length + (steps - 1) * stride - waveforms.shape[-1]
    frames = F.pad(waveforms, (length - stride, after)).unfold(-1, length, stride)
    spectra: Tensor = torch.fft.rfft(frames * window)
    return spectra


def synthesise(spectra: Tensor, window: Tensor, stride: int, num_samples: int) -> Tensor:
    """Return waveforms `[batch, signals, time]` of spectra `[batch, signals, frames, bins]`."""
    frames = torch.fft.irfft(spectra, n=len(window)) * window  # [B, S, L, length]
    count = frames.shape[2]
    pieces = frames.unflatten(-1, (-1, stride)).unbind(-2)  # each [B, S, L, stride]
    last = len(pieces) - 1
    # Piece k of frame i lies at step i + k; steps before the recording are left out.
    steps = [piece[:, :, last - k : count - k] for k, piece in enumerate(pieces)]
    return torch.stack(steps).sum(0).flatten(2)[..., :num_samples]
