"""The multi-scale block that TDANet, S4M and TIGER have in common, laid out for speed.

Li, Yang, Hu, "An efficient encoder-decoder architecture with top-down attention for speech
separation", ICLR 2023, https://arxiv.org/abs/2209.15200, figures 2 and 3: features go down through
strided depthwise convolutions, what all scales have in common is refined at the coarsest one, and
on the way back up it gates each scale.

Layout: `[row, time, channel]` throughout, in memory too, so that a convolution of kernel 1 is one
matrix product, a depthwise convolution is one pass over adjacent memory, and a normalisation is a
scale and an offset per channel. Rows never see each other. Three things make it fast:

- convolutions go through `conv2d` on a channels-last view, where torch has oneDNN kernels that use
  the whole width of the processor (its matrix products and 1-d convolutions do not);
- a gate is never computed at the fine scale: with a local branch a x + b, and a gate s and an
  offset o at the coarse scale, (a x + b) up(s) + up(o) = x up(a s) + up(b s + o) is one pass;
- of the last scale's gated features nothing is used as published, so they are not computed.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.layers import linear

KERNEL = 5
"""Taps of the strided and of the top-down depthwise convolutions."""

NORM_EPS = 1e-8


class GlobalNorm(nn.Module):
    """Scale and offset per channel of a normalisation over time and channels of a row."""

    def __init__(self, channels: int, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    @property
    def weight(self) -> Tensor:
        """Scale by channel, under the name that torch's own norms give it."""
        return self.gamma

    @property
    def bias(self) -> Tensor:
        """Offset by channel."""
        return self.beta


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the same normalisation with torch's names for its parameters."""
    return nn.GroupNorm(1, channels, NORM_EPS)


Norm = GlobalNorm | nn.GroupNorm
MakeNorm = Callable[[int], Norm]


def image(features: Tensor) -> Tensor:
    """Return a view as `[row, channel, 1, time]`, which torch recognises as channels-last."""
    return features.transpose(1, 2).unsqueeze(2)


def sequence(images: Tensor) -> Tensor:
    """Return a view as `[row, time, channel]`; undoes `image`."""
    return images.squeeze(2).transpose(1, 2)


def pointwise(
    features: Tensor, conv: nn.Conv1d | nn.Conv2d, *, residual: Tensor | None = None
) -> Tensor:
    """Return the kernel-1 convolution of the features, plus `residual` if given.

    Args:
        features: `[row, time, channel]`.
        conv: A convolution of kernel 1 without groups.
        residual: Of the shape of the result.
    """
    if not torch.is_grad_enabled():
        return linear(features, conv.weight.flatten(1), conv.bias, residual=residual)
    weight = conv.weight.flatten(1)[:, :, None, None]
    result = sequence(F.conv2d(image(features), weight, conv.bias))
    return result if residual is None else residual + result


def depthwise(features: Tensor, conv: nn.Conv1d) -> Tensor:
    """Return each channel convolved with its own odd kernel, `[row, ceil(time / stride), channel]`.

    Gradients come from shifted products: torch's own backward pass of a depthwise convolution
    takes a hundred times as long as its forward pass.
    """
    channels, _, taps = conv.weight.shape
    stride = conv.stride[0]
    weight = conv.weight.unsqueeze(2)
    return sequence(
        F.conv2d(image(features), weight, conv.bias, (1, stride), (0, taps // 2), groups=channels)
    )


def scale_and_offset(mean: Tensor, square: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return a, b `[row, 1, channel]` such that a x + b is x normalised.

    Args:
        mean: Mean of x over time and channels, `[row, 1, 1]`.
        square: Mean of x², `[row, 1, 1]`.
        norm: Holds scale and offset by channel.
    """
    scale = norm.weight * ((square - mean.square()).clamp_min(0) + norm.eps).rsqrt()
    return scale, norm.bias - scale * mean


def means(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the mean square over time and channels, `[row, 1, 1]`."""
    # Frame by frame first: one float32 sum over all would lose digits.
    frame = torch.linalg.vector_norm(features, dim=2, keepdim=True)
    square = frame.square().mean(1, keepdim=True) / features.shape[2]
    return features.mean(2, keepdim=True).mean(1, keepdim=True), square


def normalise(features: Tensor, norm: Norm, *, residual: Tensor | None = None) -> Tensor:
    """Return the features of each row normalised over time and channels, plus `residual`."""
    # Not torch's group_norm: its channels-last sums lose digits as the recording grows.
    scale, offset = scale_and_offset(*means(features), norm)
    if residual is None:
        return torch.addcmul(offset, features, scale)
    return torch.addcmul(residual, features, scale) + offset


@lru_cache(maxsize=256)
def nearest(source: int, target: int, device: torch.device) -> Tensor:
    """Return the source frame of every target frame under nearest-neighbour resizing.

    The position is computed in float32, as torch does and as the published networks were trained;
    whole-number arithmetic gives other frames at many pairs of lengths.
    """
    with torch.inference_mode(False):
        frames = torch.arange(source, dtype=torch.float32, device=device)
        return F.interpolate(frames[None, None], size=target, mode="nearest")[0, 0].long()


def spread(fine: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """Return fine * up(factor) + up(offset), where up resizes to fine's length by repetition.

    Args:
        fine: `[row, time, channel]`.
        factor: `[row, coarse time, channel]`.
        offset: `[row, coarse time, channel]`.
    """
    rows, time, channels = fine.shape
    coarse = factor.shape[1]
    if time % coarse == 0:  # every coarse frame is repeated equally often: a view will do
        blocks = fine.reshape(rows, coarse, time // coarse, channels)
        return torch.addcmul(offset.unsqueeze(2), blocks, factor.unsqueeze(2)).reshape(fine.shape)
    index = nearest(coarse, time, fine.device)
    return torch.addcmul(offset.index_select(1, index), fine, factor.index_select(1, index))


class ConvNorm(nn.Module):
    """Parameters of a convolution, its normalisation, and for some a rectifier's slope."""

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
        self.conv = nn.Conv1d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias
        )
        self.norm = norm(outputs)
        if rectify:
            self.act = nn.PReLU()


def depthwise_norm(channels: int, norm: MakeNorm, kernel: int) -> ConvNorm:
    """Return the parameters of one branch of a gate."""
    return ConvNorm(channels, channels, norm, kernel=kernel, groups=channels, bias=False)


class Gate(nn.Module):
    """Local features times a gate from coarser ones, plus an offset from them (figure 3)."""

    def __init__(self, channels: int, norm: MakeNorm, kernel: int) -> None:
        super().__init__()
        self.local_embedding = depthwise_norm(channels, norm, kernel)
        self.global_embedding = depthwise_norm(channels, norm, kernel)
        self.global_act = depthwise_norm(channels, norm, kernel)

    def forward(self, local: Tensor, coarse: Tensor) -> Tensor:
        """Return the gated features, `[row, time, channel]` as `local`."""
        fine = depthwise(local, self.local_embedding.conv)
        scale, offset = scale_and_offset(*means(fine), self.local_embedding.norm)
        act = normalise(depthwise(coarse, self.global_act.conv), self.global_act.norm)
        embedding = depthwise(coarse, self.global_embedding.conv)
        gate = act.sigmoid()
        added = normalise(embedding, self.global_embedding.norm)
        return spread(fine, scale * gate, torch.addcmul(added, offset, gate))


class PointGate(Gate):
    """The gate whose convolutions have kernel 1: its local branch costs no pass of its own."""

    def __init__(self, channels: int, norm: MakeNorm) -> None:
        super().__init__(channels, norm, 1)

    def forward(self, local: Tensor, coarse: Tensor) -> Tensor:
        """Return the gated features, `[row, time, channel]` as `local`."""
        weight = self.local_embedding.conv.weight.flatten()
        # Means of the weighted features, from those of each channel.
        mean = (weight * local.mean(1, keepdim=True)).mean(2, keepdim=True)
        square = (weight * weight * local.square().mean(1, keepdim=True)).mean(2, keepdim=True)
        scale, offset = scale_and_offset(mean, square, self.local_embedding.norm)
        act = coarse * self.global_act.conv.weight.flatten()
        gate = normalise(act, self.global_act.norm).sigmoid()
        embedding = coarse * self.global_embedding.conv.weight.flatten()
        added = normalise(embedding, self.global_embedding.norm)
        return spread(local, scale * weight * gate, torch.addcmul(added, offset, gate))


class UBlock(nn.Module):
    """Down through `depth` scales, `refine` at the coarsest, and back up through gates."""

    def __init__(
        self, channels: int, hidden: int, depth: int, norm: MakeNorm, *, gated: bool = True
    ) -> None:
        """Build the block.

        Args:
            channels: Channels outside.
            hidden: Channels inside.
            depth: Scales, 2 or more; each halves the frames.
            norm: Makes the normalisations.
            gated: Whether the refined features gate each scale, rather than being added to it.
        """
        super().__init__()
        self.proj_1x1 = ConvNorm(channels, hidden, norm, rectify=True)
        self.spp_dw = nn.ModuleList(
            ConvNorm(hidden, hidden, norm, kernel=KERNEL, stride=min(d, 1) + 1, groups=hidden)
            for d in range(depth)
        )
        if gated:
            self.loc_glo_fus = nn.ModuleList(PointGate(hidden, norm) for _ in range(depth))
        self.gated = gated
        self.res_conv = nn.Conv1d(hidden, channels, 1)
        self.last_layer = nn.ModuleList(Gate(hidden, norm, KERNEL) for _ in range(depth - 1))

    def coarse_frames(self, frames: int) -> int:
        """Return how many frames of `frames` are left at the coarsest scale."""
        for _ in range(len(self.spp_dw) - 1):
            frames = (frames + 1) // 2
        return frames

    def prepare(self, frames: int) -> tuple[Tensor, ...]:
        """Return what `refine` needs and only weights and length decide: once for all repeats.

        Args:
            frames: Frames at the coarsest scale.
        """
        return ()

    def refine(self, coarse: Tensor, prepared: tuple[Tensor, ...]) -> Tensor:
        """Return the global features, `[row, coarse time, hidden]`; each network has its own."""
        raise NotImplementedError

    def forward(self, features: Tensor, prepared: tuple[Tensor, ...] = ()) -> Tensor:
        """Return the features plus what the block found, `[row, time, channel]`."""
        scales = self.down(features)
        coarsest = scales[-1].shape[1]
        pooled = [
            sequence(F.adaptive_avg_pool2d(image(scale), (1, coarsest))) for scale in scales[:-1]
        ]
        # Summed from fine to coarse, as published: the order of a float32 sum shows in its digits.
        coarse = self.refine(torch.stack([*pooled, scales[-1]]).sum(0), prepared)
        used = scales if len(scales) == 2 else scales[:-1]
        return pointwise(self.up(self.fuse(used, coarse)), self.res_conv, residual=features)

    def down(self, features: Tensor) -> list[Tensor]:
        """Return the normalised features of every scale, from fine to coarse."""
        inner = normalise(pointwise(features, self.proj_1x1.conv), self.proj_1x1.norm)
        current = F.prelu(inner, self.proj_1x1.act.weight)
        scales = []
        for stage in self.spp_dw:
            current = normalise(depthwise(current, stage.conv), stage.norm)
            scales.append(current)
        return scales

    def fuse(self, scales: list[Tensor], coarse: Tensor) -> list[Tensor]:
        """Return every scale with the global features worked in."""
        if self.gated:
            gates = self.loc_glo_fus[: len(scales)]
            return [gate(scale, coarse) for gate, scale in zip(gates, scales, strict=True)]
        one = torch.ones_like(coarse)
        return [spread(scale, one, coarse) for scale in scales]

    def up(self, fused: list[Tensor]) -> Tensor:
        """Return the finest scale, gated from below.

        The first gate takes the next *finer* scale, as published.
        """
        top = len(self.last_layer) - 1
        expanded = fused[top - 1]
        for level in range(top, -1, -1):
            expanded = self.last_layer[level](fused[level], expanded)
        return expanded


class Refinement(nn.Module):
    """One U block applied again and again, the input mixed back in before each time."""

    def __init__(self, unet: UBlock, channels: int, repeats: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.unet = unet
        self.concat_block = nn.Sequential(
            nn.Conv1d(channels, channels, 1, groups=channels), nn.PReLU()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the refined features, `[row, time, channel]`."""
        mix, rectify = self.concat_block
        weight = mix.weight.flatten()
        prepared = self.unet.prepare(self.unet.coarse_frames(features.shape[1]))
        refined = self.unet(features, prepared)
        for _ in range(self.repeats - 1):
            mixed = torch.addcmul(mix.bias, features + refined, weight)
            refined = self.unet(F.prelu(mixed, rectify.weight), prepared)
        return refined


class RecurrentMasker(nn.Module):
    """Encoder, one recurrent U block, masks, decoder: TDANet's and S4M's frame (figure 1)."""

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
        """Build the network around `unet`.

        Args:
            unet: The block that is applied again and again.
            num_speakers: Number of estimates.
            window: Encoder window, four times its stride [samples].
            channels: Channels outside of the block.
            repeats: Times the block is applied.
            norm: Makes the normalisation of the encoder's output.
        """
        super().__init__()
        self.window, self.stride = window, window // 4
        self.num_speakers = num_speakers
        filters = window // 2 + 1
        codec = {"stride": self.stride, "padding": window // 2, "bias": False}
        self.encoder = nn.Conv1d(1, filters, window, **codec)
        self.ln = norm(filters)
        self.bottleneck = nn.Conv1d(filters, channels, 1)
        self.sm = Refinement(unet, channels, repeats)
        self.mask_net = nn.Sequential(
            nn.PReLU(), nn.Conv1d(channels, num_speakers * filters, 1), nn.ReLU()
        )
        self.decoder = nn.ConvTranspose1d(num_speakers * filters, num_speakers, window, **codec)
        nn.init.xavier_uniform_(self.encoder.weight)
        nn.init.xavier_uniform_(self.decoder.weight)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return the estimates, `[batch, time]` → `[batch, speakers, time]`."""
        # B batch, F frames, N filters, C channels, S speakers
        time, margin = mixture.shape[1], self.window - self.stride
        rest = self.window - (self.stride + time % self.window) % self.window
        padded = F.pad(mixture, (margin, rest + margin)).unsqueeze(1)
        encoded = self.encoder(padded).transpose(1, 2).contiguous()  # [B, F, N]
        features = pointwise(normalise(encoded, self.ln), self.bottleneck)  # [B, F, C]
        rectify, to_masks, _ = self.mask_net
        refined = F.prelu(self.sm(features), rectify.weight)
        masks = pointwise(refined, to_masks).relu()  # [B, F, S * N]
        masked = masks.unflatten(2, (self.num_speakers, -1)) * encoded.unsqueeze(2)
        # Every estimate is decoded from all speakers' masked features, as published.
        estimates = self.decoder(masked.flatten(2).transpose(1, 2))
        return estimates[:, :, margin : margin + time]
