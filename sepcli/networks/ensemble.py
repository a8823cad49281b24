"""Two networks of different kinds whose estimates are averaged.

What they get wrong differs, so their mean is nearer to the truth than either: Hansen, Salamon,
"Neural network ensembles", IEEE Transactions on Pattern Analysis and Machine Intelligence 12, 1990.
The masking transformer sees 32 ms at once and the whole chunk through attention; GC3 sees 8 ms at
once and the chunk through recurrent layers. A guided transformer also hears what share of each bin
GC3's estimates give each speaker, and so need not find them a second time.

To their mean is then added what Wiener filters make of the mixture, the mean telling them the
powers. Frames of the filters may be longer than those of the networks, and so resolve more. How
much of the answer is each filter's, and how far powers are smoothed, is learnt for each band.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sepcli.networks import gc3, stftformer
from sepcli.networks.layers.fourier import analyse, sine_window, synthesise
from sepcli.networks.layers.order import reordered

LONGEST_WINDOW = 65536
MEAN_SHARE = 0.15  # of the answer at first; Wiener filters share the rest
SMOOTHING = 0.02  # of a power that its neighbours on either side have at first
SILENCE = 1e-30  # added to powers, so that no filter divides by zero


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of both networks.

    Attributes:
        stftformer: Of the masking transformer.
        gc3: Of GC3, for as many speakers.
        wiener_windows: Length of the frames of each Wiener filter, from the shortest on [samples];
            a frame begins in the middle of the last.
        wiener_bands: Widths of the bands of the filters from the lowest on [bins of the shortest
            filter]; empty for a single one.
    """

    stftformer: stftformer.Config
    gc3: gc3.Config
    wiener_windows: tuple[int, ...] = ()
    wiener_bands: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for length in self.wiener_windows:
            if not 2 <= length <= LONGEST_WINDOW or length % 2:
                raise ValueError(
                    f"wiener_windows must be even, 2 to {LONGEST_WINDOW} samples: {length}"
                )
        if list(self.wiener_windows) != sorted(self.wiener_windows):
            raise ValueError(f"wiener_windows must grow: {list(self.wiener_windows)}")
        bins = self.wiener_windows[0] // 2 + 1 if self.wiener_windows else 0
        if self.wiener_bands and (min(self.wiener_bands) < 1 or sum(self.wiener_bands) != bins):
            raise ValueError(f"wiener_bands must have {bins} bins in all, each one or more")
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
        if config.wiener_windows:
            self.filters = Filters(config.wiener_windows, config.wiener_bands)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`, time ≥ 1."""
        heard = self.gc3(mixture)
        first = self.stftformer(mixture, self._guide(heard, mixture))
        mean: Tensor = (first + reordered(heard, first)) / 2
        if not self.config.wiener_windows:
            return mean
        answer: Tensor = self.filters(mean, mixture)
        return answer

    def _guide(self, estimates: Tensor, mixture: Tensor) -> Tensor | None:
        """Return the shares `[batch, speakers, frames, bins]` that a guided transformer hears."""
        config = self.config.stftformer
        if not config.guided:
            return None
        window = self.stftformer.window
        speakers = analyse(estimates, window, config.stride)
        whole = analyse(mixture, window, config.stride).unsqueeze(1)
        return shares(powers_of(speakers, whole)).detach()  # steep where all is silent


class Filters(nn.Module):
    """Wiener filters with frames of several lengths, averaged with what tells them the powers."""

    def __init__(self, windows: Sequence[int], bands: Sequence[int]) -> None:
        super().__init__()
        for number, length in enumerate(windows):
            bins = torch.arange(length // 2 + 1) * windows[0] // length  # of the shortest filter
            edges = torch.tensor(bands[:-1], dtype=torch.long).cumsum(0)
            band = torch.bucketize(bins, edges, right=True)
            self.register_buffer(f"window_{number}", sine_window(length, length // 2), False)
            self.register_buffer(f"band_{number}", band, False)
        self.strides = [length // 2 for length in windows]
        shape = len(windows), max(1, len(bands))
        share = math.log((1 - MEAN_SHARE) / MEAN_SHARE / len(windows))
        self.share = nn.Parameter(torch.full(shape, share))  # the mean's is 0, before the softmax
        smoothing = math.log(SMOOTHING / (1 / 3 - SMOOTHING))
        self.over_time = nn.Parameter(torch.full(shape, smoothing))
        self.over_frequency = nn.Parameter(torch.full(shape, smoothing))

    def forward(self, mean: Tensor, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` from first ones and the mixture `[batch, time]`."""
        parts = torch.cat((torch.zeros_like(self.share[:1]), self.share)).softmax(0)
        answer = torch.zeros_like(mean)
        for number, stride in enumerate(self.strides):
            window, band = self.get_buffer(f"window_{number}"), self.get_buffer(f"band_{number}")
            speakers = analyse(mean, window, stride)  # [B, S, L, F]
            whole = analyse(mixture, window, stride).unsqueeze(1)  # [B, 1, L, F]
            powers = powers_of(speakers, whole)  # [B, S + 1, L, F]
            powers = smoothed(powers, self.over_time[number, band].unsqueeze(0), 2)
            powers = smoothed(powers, self.over_frequency[number, band], 3)
            filtered = parts[1 + number, band] * shares(powers) * whole
            if number == 0:
                filtered = filtered + parts[0, band] * speakers
            answer = answer + synthesise(filtered, window, stride, mixture.shape[-1])
        return answer


def smoothed(powers: Tensor, amount: Tensor, axis: int) -> Tensor:
    """Return powers, each partly the mean of itself and its two neighbours along an axis.

    Args:
        powers: `[batch, speakers + 1, frames, bins]`.
        amount: Which part, before a sigmoid; fits `powers` from the last axis on.
        axis: Of frames or of bins; beyond its ends powers are those at the ends.
    """
    length = powers.shape[axis]
    before = torch.cat((powers.narrow(axis, 0, 1), powers.narrow(axis, 0, length - 1)), axis)
    after = torch.cat(
        (powers.narrow(axis, 1, length - 1), powers.narrow(axis, length - 1, 1)), axis
    )
    return torch.lerp(powers, (before + powers + after) / 3, amount.sigmoid())


def powers_of(speakers: Tensor, whole: Tensor) -> Tensor:
    """Return the power of each speaker, and last of noise, `[batch, speakers + 1, frames, bins]`.

    Args:
        speakers: Spectra of the estimates, `[batch, speakers, frames, bins]`; what they leave of
            the mixture is noise.
        whole: Spectrum of the mixture, `[batch, 1, frames, bins]`.
    """
    spectra = torch.cat((speakers, whole - speakers.sum(1, keepdim=True)), 1)
    return torch.view_as_real(spectra).square().sum(-1)


def shares(powers: Tensor) -> Tensor:
    """Return each speaker's power over the power of all, `[batch, speakers, frames, bins]`.

    Liutkus and Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP
    2015, with an exponent of 2, the classical case.

    Args:
        powers: From `powers_of`; noise is the last.
    """
    return powers[:, :-1] / (powers.sum(1, keepdim=True) + SILENCE)
