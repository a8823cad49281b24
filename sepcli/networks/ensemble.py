"""Two networks of different kinds whose estimates are averaged.

What they get wrong differs, so their mean is nearer to the truth than either: Hansen, Salamon,
"Neural network ensembles", IEEE Transactions on Pattern Analysis and Machine Intelligence 12, 1990.
The masking transformer sees 32 ms at once and the whole chunk through attention; GC3 sees 8 ms at
once and the chunk through recurrent layers. A guided transformer also hears what share of each bin
GC3's estimates give each speaker, and so need not find them a second time.

To their mean is then added what Wiener filters make of the mixture, the mean telling them the
powers. Frames of the filters may be longer than those of the networks, and so resolve more.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sepcli.networks import gc3, stftformer
from sepcli.networks.layers.fourier import analyse, sine_window, synthesise

LONGEST_WINDOW = 65536
MEAN_SHARE = 0.15  # of the answer; Wiener filters share the rest
SILENCE = 1e-30  # added to powers, so that no filter divides by zero


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of both networks.

    Attributes:
        stftformer: Of the masking transformer.
        gc3: Of GC3, for as many speakers.
        wiener_windows: Length of the frames of each Wiener filter [samples]; a frame begins in the
            middle of the last.
    """

    stftformer: stftformer.Config
    gc3: gc3.Config
    wiener_windows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for length in self.wiener_windows:
            if not 2 <= length <= LONGEST_WINDOW or length % 2:
                raise ValueError(
                    f"wiener_windows must be even, 2 to {LONGEST_WINDOW} samples: {length}"
                )
        if self.stftformer.num_speakers != self.gc3.num_speakers:
            raise ValueError(f"both networks must have {self.num_speakers} speakers")

    @property
    def num_speakers(self) -> int:
        """Number of estimates."""
        return self.stftformer.num_speakers


class Network(nn.Module):
    """Mean of two networks, filtered: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.stftformer = stftformer.Network(config.stftformer)
        self.gc3 = gc3.Network(config.gc3)
        for number, length in enumerate(config.wiener_windows):
            window = sine_window(length, length // 2)
            self.register_buffer(f"window_{number}", window, persistent=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`, time ≥ 1."""
        heard = self.gc3(mixture)
        first = self.stftformer(mixture, self._guide(heard, mixture))
        mean: Tensor = (first + reordered(heard, first)) / 2
        windows = list(self.buffers(recurse=False))
        if not windows:
            return mean
        filtered = sum(wiener(mean, mixture, window) for window in windows) / len(windows)
        return MEAN_SHARE * mean + (1 - MEAN_SHARE) * filtered

    def _guide(self, estimates: Tensor, mixture: Tensor) -> Tensor | None:
        """Return the shares `[batch, speakers, frames, bins]` that a guided transformer hears."""
        config = self.config.stftformer
        if not config.guided:
            return None
        window = self.stftformer.window
        speakers = analyse(estimates, window, config.stride)
        whole = analyse(mixture, window, config.stride).unsqueeze(1)
        return shares(speakers, whole).detach()  # steep where all is silent


def wiener(estimates: Tensor, mixture: Tensor, window: Tensor) -> Tensor:
    """Return the share of the mixture that is each speaker's, `[batch, speakers, time]`.

    Args:
        estimates: `[batch, speakers, time]`.
        mixture: `[batch, time]`.
        window: Of a frame, `[samples]`; each begins in the middle of the last.
    """
    stride = len(window) // 2
    speakers = analyse(estimates, window, stride)  # [B, S, L, F]
    whole = analyse(mixture, window, stride).unsqueeze(1)  # [B, 1, L, F]
    return synthesise(shares(speakers, whole) * whole, window, stride, mixture.shape[-1])


def shares(speakers: Tensor, whole: Tensor) -> Tensor:
    """Return each speaker's power over the power of all, `[batch, speakers, frames, bins]`.

    What the estimates leave of the mixture is noise. Liutkus and Badeau, "Generalized Wiener
    filtering with fractional power spectrograms", ICASSP 2015, with an exponent of 2, the classical
    case.

    Args:
        speakers: Spectra of the estimates, `[batch, speakers, frames, bins]`.
        whole: Spectrum of the mixture, `[batch, 1, frames, bins]`.
    """
    powers = power(speakers)
    left = power(whole - speakers.sum(1, keepdim=True))  # [B, 1, L, F]
    return powers / (powers.sum(1, keepdim=True) + left + SILENCE)


def power(spectra: Tensor) -> Tensor:
    """Return the squared magnitudes of spectra, of the same shape."""
    return torch.view_as_real(spectra).square().sum(-1)


def reordered(estimates: Tensor, like: Tensor) -> Tensor:
    """Return `estimates` in the order of speakers in which they resemble `like` most.

    Args:
        estimates: `[batch, speakers, time]`.
        like: Same shape; that order has the largest sum of inner products with it.
    """
    orders = torch.tensor(
        list(itertools.permutations(range(like.shape[1]))), device=like.device
    )  # [orders, speakers]
    products = like.detach() @ estimates.detach().transpose(1, 2)  # [B, S, S]
    speakers = torch.arange(like.shape[1], device=like.device)
    alike = products[:, speakers, orders].sum(-1)  # [B, orders]
    best = orders[alike.argmax(-1)]  # [B, S]
    return estimates.gather(1, best.unsqueeze(-1).expand_as(estimates))
