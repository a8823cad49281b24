"""S4M: TDANet's frame around a bidirectional state-space layer at the coarsest scale.

Chen, Yang, Li, Hu, Ku, Chng, "A Neural State-Space Model(ing) Approach to Efficient Speech
Separation", Interspeech 2023, https://arxiv.org/abs/2305.16932; the layer is S4 (Gu, Goel, Re,
"Efficiently Modeling Long Sequences with Structured State Spaces", ICLR 2022,
https://arxiv.org/abs/2111.00396).

Deviations: the kernel of the state-space layer comes from the recurrence itself, squared again and
again, in float64, instead of from its generating function; it is the same kernel up to rounding.
The published code rewrites a parameter when it meets a longer input; here nothing is rewritten and
the answer depends on weights and input alone. Both members of each conjugate pair of states count.

The frame (encoder, repeats, masks, decoder) and the U block are in layers/ublock.py, since TDANet
has them too; what makes S4M of them, the state-space layer at the coarsest scale, is here. Letters
in comments: B rows, T frames of that scale, H channels inside of a block, N states.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import check_sizes, pointwise
from sepcli.networks.layers.ublock import RecurrentMasker, UBlock, gamma_norm

DIRECTIONS = 2
MOST_STATES = 256  # a system is a matrix of their square, for each channel


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of S4M; the defaults are those that match the paper's S4M-tiny at 16 kHz.

    Attributes:
        num_speakers: Number of estimates <C>.
        window: Encoder window, a multiple of 4 [samples].
        channels: Channels outside of a block, in the bottleneck.
        hidden: Channels inside a block <H>.
        depth: Scales of a block, at least 2.
        repeats: Times the block is applied <B>.
        state: States of each channel, even <N>.
    """

    num_speakers: int = 2
    window: int = 32
    channels: int = 128
    hidden: int = 512
    depth: int = 5
    repeats: int = 16
    state: int = 16

    def __post_init__(self) -> None:
        check_sizes(self, window=4, hidden=2, depth=2)
        if self.window % 4:  # frames are a quarter of it apart
            raise ValueError(f"window must be a multiple of 4: {self.window}")
        if self.state % 2 or not 2 <= self.state <= MOST_STATES:
            raise ValueError(f"state must be even and at most {MOST_STATES}: {self.state}")


class Network(RecurrentMasker):
    """S4M: `[batch, time]` → `[batch, speakers, time]`."""

    def __init__(self, config: Config) -> None:
        super().__init__(
            Block(config),
            num_speakers=config.num_speakers,
            window=config.window,
            channels=config.channels,
            repeats=config.repeats,
            norm=gamma_norm,
        )
        self.config = config


class Block(UBlock):
    """S4M's U block (figure 1)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.channels, config.hidden, config.depth, gamma_norm)
        self.s4 = Residual(config.hidden, S4(config.hidden, config.state))
        self.ff = Residual(config.hidden, FeedForward(config.hidden))

    def shared(self, frames: int) -> tuple[Tensor, ...]:
        """Return the spectrum of the state-space kernel."""
        spectrum: Tensor = self.s4.layer.spectrum(frames)
        return (spectrum,)

    def refine(self, coarse: Tensor, *shared: Tensor) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`."""
        refined: Tensor = self.ff(self.s4(coarse, *shared))
        return refined


class Residual(nn.Module):
    """A layer of the normalised features, added to them."""

    layer: Any

    def __init__(self, channels: int, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor, *shared: Tensor) -> Tensor:
        """Return `[row, time, channel]`; `shared` is what the layer needs besides."""
        added: Tensor = features + self.layer(self.norm(features), *shared)
        return added


class S4(nn.Module):
    """Bidirectional state-space layer: each channel is convolved over time, then they mix."""

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        self.D = nn.Parameter(nn.init.normal_(torch.empty(1, channels)))
        self.kernel = KernelHolder(channels, state)
        self.output_linear = nn.ModuleList([nn.Conv1d(channels, 2 * channels, 1)])

    def forward(self, features: Tensor, spectrum: Tensor) -> Tensor:
        """Return `[row, time, channel]`; `spectrum` is of as many frames."""
        inputs = features.to(self.D.dtype)  # Fourier transforms know no half precision
        convolved = convolve(inputs, spectrum)  # [B, T, H]
        active = F.gelu(torch.addcmul(convolved, inputs, self.D))  # y + D u: [B, T, H]
        return F.glu(pointwise(active, self.output_linear[0]), 2)  # [B, T, H]

    def spectrum(self, frames: int) -> Tensor:
        """Return the Fourier transform of the two-sided kernel, `[bins, channel]`.

        y_t = sum_{s <= t} forward_{t-s} u_s + sum_{s > t} backward_{s-t-1} u_s
        """
        forward, backward = self.kernel.kernel(frames)  # each [H, T]
        gap = forward.new_zeros(forward.shape[0], fast_size(2 * frames) - 2 * frames)
        two_sided = torch.cat([forward, gap, backward.flip(1)], 1)  # [H, 2 * T and the gap]
        real = torch.view_as_real(torch.fft.rfft(two_sided)).to(self.D.dtype)  # [H, bins, 2]
        return torch.view_as_complex(real).t().contiguous()  # [bins, H]


def convolve(inputs: Tensor, spectrum: Tensor) -> Tensor:
    """Return the circular convolution with a kernel of this spectrum, `[row, time, channel]`."""
    frames, size = inputs.shape[1], 2 * (spectrum.shape[0] - 1)
    transformed = torch.fft.rfft(inputs, size, dim=1) * spectrum  # [B, bins, H]
    convolved: Tensor = torch.fft.irfft(transformed, size, dim=1)[:, :frames]  # [B, T, H]
    return convolved


def fast_size(least: int) -> int:
    """Return the smallest even 2^a 3^b 5^c of at least `least`: such transforms are fast."""
    powers: list[int] = [
        2**a * 3**b * 5**c for a in range(1, 24) for b in range(4) for c in range(3)
    ]
    return min(size for size in powers if size >= least)


class KernelHolder(nn.Module):
    """Only a name in the published keys: `kernel.kernel`."""

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        self.kernel = Kernel(channels, state)


class Kernel(nn.Module):
    """One state-space system for each channel and direction, and its impulse response.

    x_t = A' x_(t-1) + B' u_t, y_t = C x_t: the response to an impulse is C B', C A' B', C A'^2 B',
    and so on (S4, equations 3 to 5). A = diag(w) - P P*, with w = -exp(inv_w_real) + i w_imag.
    """

    L: Tensor

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        half = state // 2
        eigenvalues, into, low_rank = legs(state)
        self.C = nn.Parameter(torch.empty(DIRECTIONS, channels, half, 2).normal_(0, 0.5**0.5))
        steps = torch.empty(channels).uniform_(math.log(0.001), math.log(0.1))
        self.log_dt = nn.Parameter(steps)
        self.B = nn.Parameter(torch.empty(1, channels, half, 2))
        self.P = nn.Parameter(torch.empty(1, channels, half, 2))
        self.inv_w_real = nn.Parameter(torch.empty(channels, half))
        self.w_imag = nn.Parameter(torch.empty(channels, half))
        self.register_buffer("L", torch.zeros((), dtype=torch.int64))
        with torch.no_grad():
            self.B.copy_(torch.view_as_real(into).expand_as(self.B))
            self.P.copy_(torch.view_as_real(low_rank).expand_as(self.P))
            self.inv_w_real.copy_((-eigenvalues.real).log().expand_as(self.inv_w_real))
            self.w_imag.copy_(eigenvalues.imag.expand_as(self.w_imag))

    def system(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the discrete A `[channel, N, N]`, B `[channel, N, 1]`, C `[channel, 2, N]`.

        Bilinear discretisation: with h = dt / 2,
        A' = (1 - h A)^-1 (1 + h A) and B' = (1 - h A)^-1 dt B.
        """
        values = torch.complex(-self.inv_w_real.double().exp(), self.w_imag.double())  # [H, N / 2]
        low_rank, into = both(self.P)[0].unsqueeze(2), both(self.B)[0].unsqueeze(2)  # [H, N, 1]
        diagonal = torch.cat([values, values.conj()], 1).diag_embed()  # [H, N, N]
        step = self.log_dt.double().exp()[:, None, None]  # [H, 1, 1]
        half_step = (diagonal - low_rank @ low_rank.mH) * (step / 2)  # [H, N, N]
        one = torch.eye(half_step.shape[1], dtype=half_step.dtype, device=half_step.device)
        solved = torch.linalg.solve(one - half_step, torch.cat([one + half_step, step * into], 2))
        transition, into = solved[:, :, :-1], solved[:, :, -1:]  # [H, N, N], [H, N, 1]
        out = both(self.C).transpose(0, 1)  # [H, 2, N]
        stored = int(self.L)
        if stored > 0:  # the checkpoint holds C (1 - A'^L), see S4's appendix C.3
            gap = one - torch.linalg.matrix_power(transition, stored)
            out = torch.linalg.solve(gap, out, left=False)
        return transition, into, out

    def forward(self, frames: int) -> Tensor:
        """Return C A^t B for t < frames, `[direction, channel, frames]`, float64."""
        transition, columns, rows = self.system()
        # C A^(i m) (A^j B): j runs to m, about the root of `frames`, by doubling; then i does.
        count = 2 ** math.ceil(math.log2(frames) / 2)
        for _ in range(round(math.log2(count))):
            columns = torch.cat([columns, transition @ columns], 2)  # [H, N, j]
            transition = transition @ transition
        while rows.shape[1] * count < DIRECTIONS * frames:
            rows = torch.cat([rows, rows @ transition], 1)  # [H, i * 2, N]
            transition = transition @ transition
        responses: Tensor = (rows @ columns).real  # [H, i * 2, j]
        responses = responses.reshape(len(rows), -1, DIRECTIONS, count)  # [H, i, 2, j]
        return responses.permute(2, 0, 1, 3).flatten(2)[:, :, :frames]  # [2, H, frames]


def both(half: Tensor) -> Tensor:
    """Return complex values and their conjugates, `[..., state / 2, 2]` → `[..., state]`."""
    values = torch.view_as_complex(half.double().contiguous())
    return torch.cat([values, values.conj()], -1)


def legs(state: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return eigenvalues, input and low-rank vectors of HiPPO-LegS, `[state / 2]` each, complex128.

    S4's appendix C.1: A + P P* is -1/2 plus a skew-symmetric matrix, which the returned basis
    makes diagonal; of each conjugate pair the member with negative imaginary part is kept.
    """
    n = torch.arange(state, dtype=torch.float64)
    into, low_rank = (2 * n + 1).sqrt(), (n + 0.5).sqrt()
    lower = torch.outer(into, into).tril(-1)
    values, vectors = torch.linalg.eigh((lower.T - lower) * -0.5j)
    basis = vectors[:, : state // 2].mH
    eigenvalues = -0.5 + 1j * values[: state // 2]
    return eigenvalues, basis @ into.to(basis.dtype), basis @ low_rank.to(basis.dtype)


class FeedForward(nn.Module):
    """Widen, rectify, narrow, frame by frame; keys `ff.0.0` and `ff.2`."""

    ff: Any

    def __init__(self, channels: int) -> None:
        super().__init__()
        widen, narrow = nn.Conv1d(channels, 2 * channels, 1), nn.Conv1d(2 * channels, channels, 1)
        self.ff = nn.ModuleList([nn.ModuleList([widen]), nn.GELU(), narrow])

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, time, channel]`."""
        wide = F.gelu(pointwise(features, self.ff[0][0]))  # [B, T, 2 * H]
        return pointwise(wide, self.ff[2])  # [B, T, H]
