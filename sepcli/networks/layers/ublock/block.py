"""The U block itself, layer by layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers.ublock.parts import (
    KERNEL,
    ConvNorm,
    MakeNorm,
    children,
    depthwise,
    image,
    normalise,
    pointwise,
    rectify,
    sequence,
    spread,
)


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
        fine, act, embedding = (
            normalise(depthwise(features, part.conv), part.norm)
            for features, part in (
                (local, self.local_embedding),
                (coarse, self.global_act),
                (coarse, self.global_embedding),
            )
        )
        return spread(fine, act.sigmoid_(), embedding)


class PointGate(Gate):
    """The gate whose convolutions have kernel 1: its local branch costs no pass of its own."""

    def __init__(self, channels: int, norm: MakeNorm) -> None:
        super().__init__(channels, norm, 1)

    def forward(self, local: Tensor, coarse: Tensor) -> Tensor:
        """Return the gated features, `[row, time, channel]` as `local`."""
        fine, act, embedding = (
            normalise(features * part.conv.weight.flatten(), part.norm)
            for features, part in (
                (local, self.local_embedding),
                (coarse, self.global_act),
                (coarse, self.global_embedding),
            )
        )
        return spread(fine, act.sigmoid_(), embedding)


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
        current = rectify(inner, self.proj_1x1.act)
        scales = []
        for stage in children(self.spp_dw, ConvNorm):
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
