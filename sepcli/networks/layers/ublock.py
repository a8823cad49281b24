"""The multi-scale block that TDANet, S4M and TIGER have in common, and the frame of the first two.

Li, Yang, Hu, "An efficient encoder-decoder architecture with top-down attention for speech
separation", ICLR 2023, https://arxiv.org/abs/2209.15200, figures 1 to 3: features go down through
strided depthwise convolutions, what all scales have in common is refined at the coarsest one, and
on the way back up it gates each scale.

Letters in comments: B rows, T frames, C channels outside of the block, H channels inside, d a scale
from 0 for the finest to D for the coarsest, F encoder filters, S speakers.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers.convolution import depthwise
from sepcli.networks.layers.linear import pointwise
from sepcli.networks.layers.norms import GlobalNorm
from sepcli.networks.layers.resizing import pool, resize, spread

KERNEL = 5  # taps of the strided and of the top-down depthwise convolutions
EPS = 1e-8

MakeNorm = Callable[[int], GlobalNorm]


def gamma_norm(channels: int) -> GlobalNorm:
    """Return the norm with the parameter names of the published class."""
    return GlobalNorm((channels,), EPS, ("gamma", "beta"))


def group_norm(channels: int) -> GlobalNorm:
    """Return the norm with those of torch's `GroupNorm(1, channels)`, which some networks use."""
    return GlobalNorm((channels,), EPS)


class ConvNorm(nn.Module):
    """A convolution of kernel 1 or a depthwise one, a norm over the row, and for some a PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: MakeNorm,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
        rectify: bool = False,
    ) -> None:
        super().__init__()
        pad = kernel // 2
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, pad, groups=groups, bias=bias)
        self.norm = norm(outputs)
        self.act = nn.PReLU() if rectify else None

    def forward(self, features: Tensor) -> Tensor:
        """Return `[row, ceil(time / stride), channel]`."""
        conv = self.conv
        if conv.kernel_size == (1,) and conv.groups == 1:
            features = pointwise(features, conv)
        else:
            features = depthwise(features, conv.weight, conv.bias, stride=conv.stride[0])
        features = self.norm(features)
        return features if self.act is None else self.act(features)


class Descent(nn.ModuleList):
    """Strided depthwise convolutions one after the other; all but the first halve the frames."""

    def __init__(self, hidden: int, depth: int, norm: MakeNorm) -> None:
        super().__init__(
            ConvNorm(hidden, hidden, norm, kernel=KERNEL, stride=2 if d else 1, groups=hidden)
            for d in range(depth)
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return every scale, the finest first, each `[row, T / 2^d, hidden]`."""
        scales = []
        for stage in self:
            features = stage(features)
            scales.append(features)
        return scales


class Gate(nn.Module):
    """Local features times a gate from coarser ones, plus an offset from them (figure 3, LA).

    With three depthwise convolutions f1, f2, f3, a norm in each, and `up` to the frames of x:
    LA(x, y) = f1(x) * up(sigmoid(f2(y))) + up(f3(y)).
    """

    def __init__(self, channels: int, norm: MakeNorm, kernel: int) -> None:
        super().__init__()
        self.local_embedding, self.global_embedding, self.global_act = (
            ConvNorm(channels, channels, norm, kernel=kernel, groups=channels, bias=False)
            for _ in range(3)
        )

    def forward(self, local: Tensor, coarse: Tensor) -> Tensor:
        """Return the gated features, `[row, time, channel]` as `local`."""
        gate = self.global_act(coarse).sigmoid()  # [B, T', H]
        offset = self.global_embedding(coarse)  # [B, T', H]
        return spread(self.local_embedding(local), gate, offset)  # [B, T, H]


class UBlock(nn.Module):
    """Down through the scales, `refine` at the coarsest, and back up through gates (figure 2).

    Args:
        channels: Channels outside.
        hidden: Channels inside.
        depth: Scales, 2 or more.
        norm: Makes the norms.
        gated: Whether the refined features gate each scale, rather than being added to it.
    """

    def __init__(
        self, channels: int, hidden: int, depth: int, norm: MakeNorm, *, gated: bool = True
    ) -> None:
        super().__init__()
        self.proj_1x1 = ConvNorm(channels, hidden, norm, rectify=True)
        self.spp_dw = Descent(hidden, depth, norm)
        self.loc_glo_fus = nn.ModuleList(Gate(hidden, norm, 1) for _ in range(depth * gated))
        self.res_conv = nn.Conv1d(hidden, channels, 1)
        self.last_layer = nn.ModuleList(Gate(hidden, norm, KERNEL) for _ in range(depth - 1))

    def shared(self, frames: int) -> tuple[Tensor, ...]:
        """Return what `refine` needs for `frames` coarse frames in all repeats of the block."""
        return ()

    def refine(self, coarse: Tensor, *shared: Tensor) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`; each network has its own."""
        raise NotImplementedError

    def forward(self, features: Tensor, *shared: Tensor) -> Tensor:
        """Return the features plus what the block found, `[row, time, channel]`."""
        scales = self.spp_dw(self.proj_1x1(features))  # each [B, T / 2^d, H]
        coarsest = scales[-1].shape[1]
        common = torch.stack([pool(scale, coarsest) for scale in scales]).sum(0)  # [B, T / 2^D, H]
        fused = self.fuse(scales, self.refine(common, *shared))  # each [B, T / 2^d, H]
        # The first gate takes the next finer scale, as published: the coarsest is left out.
        top = len(fused) - 2
        expanded = fused[top - 1]  # [B, T / 2^(top - 1), H]
        for d in range(top, -1, -1):
            expanded = self.last_layer[d](fused[d], expanded)  # [B, T / 2^d, H]
        return pointwise(expanded, self.res_conv, residual=features)  # [B, T, C]

    def fuse(self, scales: list[Tensor], common: Tensor) -> list[Tensor]:
        """Return every scale with the global features worked in."""
        if len(self.loc_glo_fus) == 0:
            return [scale + resize(common, scale.shape[1]) for scale in scales]
        return [gate(scale, common) for gate, scale in zip(self.loc_glo_fus, scales, strict=True)]


class Refinement(nn.Module):
    """One U block applied again and again, its first input mixed back in between (figure 1).

    x_1 = U(b), x_(i + 1) = U(PReLU(f(b + x_i))) with f one gain and offset of each channel.
    """

    concat_block: Any  # a convolution of kernel 1 for each channel by itself, and a PReLU

    def __init__(self, unet: UBlock, channels: int, repeats: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.unet = unet
        self.concat_block = nn.ModuleList(
            [nn.Conv1d(channels, channels, 1, groups=channels), nn.PReLU()]
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the refined features, `[row, time, channel]`."""
        mix, rectify = self.concat_block
        coarse_frames = -(-features.shape[1] // 2 ** (len(self.unet.spp_dw) - 1))
        shared = self.unet.shared(coarse_frames)
        refined: Tensor = self.unet(features, *shared)  # [B, T, C]
        for _ in range(self.repeats - 1):
            total = depthwise(features + refined, mix.weight, mix.bias)  # [B, T, C]
            refined = self.unet(rectify(total), *shared)  # [B, T, C]
        return refined


class RecurrentMasker(nn.Module):
    """Encoder, one recurrent U block, masks, decoder: TDANet's and S4M's frame (figure 1).

    Args:
        unet: The block that is applied again and again.
        num_speakers: Number of estimates.
        window: Encoder window, four times its stride [samples].
        channels: Channels outside of the block.
        repeats: Times the block is applied.
        norm: Makes the norm of the encoder's output.
    """

    def __init__(
        self,
        unet: UBlock,
        *,
        num_speakers: int,
        window: int,
        channels: int,
        repeats: int,
        norm: MakeNorm,
    ) -> None:
        super().__init__()
        self.window, self.stride = window, window // 4
        self.num_speakers = num_speakers
        filters, stride, pad = window // 2 + 1, window // 4, window // 2
        self.encoder = nn.Conv1d(1, filters, window, stride, pad, bias=False)
        self.ln = norm(filters)
        self.bottleneck = nn.Conv1d(filters, channels, 1)
        self.sm = Refinement(unet, channels, repeats)
        self.mask_net = nn.ModuleList([nn.PReLU(), nn.Conv1d(channels, num_speakers * filters, 1)])
        self.decoder = nn.ConvTranspose1d(
            num_speakers * filters, num_speakers, window, stride, pad, bias=False
        )
        nn.init.xavier_uniform_(self.encoder.weight)
        nn.init.xavier_uniform_(self.decoder.weight)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        time, margin = mixture.shape[1], self.window - self.stride
        rest = self.window - (self.stride + time % self.window) % self.window
        padded = F.pad(mixture, (margin, rest + margin)).unsqueeze(1)  # [B, 1, padded time]
        encoded = self.encoder(padded).transpose(1, 2).contiguous()  # [B, T, F]
        refined = self.sm(pointwise(self.ln(encoded), self.bottleneck))  # [B, T, C]
        rectify, to_masks = self.mask_net
        masks = pointwise(rectify(refined), to_masks).relu()  # [B, T, S * F]
        masks = masks.view(*masks.shape[:2], self.num_speakers, -1)  # [B, T, S, F]
        masked = (masks * encoded.unsqueeze(2)).flatten(2)  # [B, T, S * F]
        # Every estimate is decoded from all speakers' masked features, as published.
        estimates: Tensor = self.decoder(masked.transpose(1, 2))  # [B, S, padded time]
        return estimates[:, :, margin : margin + time]
