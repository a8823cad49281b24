"""The U block in tiles of time that stay in the processor's cache; the same numbers, no gradients.

Every normalisation needs sums over the whole recording before the next layer can go on. So a row
goes through in passes; each walks over its frames tile by tile, does all it can to a tile while it
is in the cache, and gathers the sums that the next pass needs:

1. the projection's sums, from the input's Gram matrix: sum (W x)² = <W'W, sum x x'>;
2. projection, normalised and rectified, and the first depthwise convolution;
3. the strided convolution of each further scale, of the normalised scale before;
4. each scale, gated by the global features, and the depthwise convolution of its top-down gate;
5. each top-down gate: its coarse branches, then the gated scale; of the finest, the output.

What the passes hand over lies in buffers that all repeats of the block share.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks.layers import linear
from sepcli.networks.layers.ublock.block import Gate, UBlock
from sepcli.networks.layers.ublock.parts import (
    KERNEL,
    ConvNorm,
    children,
    doubles,
    image,
    nearest,
    sequence,
)

TILE = 1 << 18
"""Features of a tile for each thread: one megabyte in single precision."""

HALF = KERNEL // 2

Affine = tuple[Tensor, Tensor]
Span = tuple[int, int]


class Sums:
    """Means of features and of their squares, gathered tile by tile."""

    def __init__(self, *, by_channel: bool = False) -> None:
        self.axis = 0 if by_channel else 1
        self.sums: list[Tensor] = []
        self.squares: list[Tensor] = []

    def add(self, tile: Tensor) -> None:
        """Count a tile, `[frame, channel]`."""
        self.sums.append(tile.sum(self.axis))
        if self.axis == 0:
            self.squares.append(tile.square().sum(0))
        else:  # torch has a fast kernel for norms along memory only
            self.squares.append(torch.linalg.vector_norm(tile, dim=1).square_())

    def by_channel(self, frames: int) -> tuple[Tensor, Tensor]:
        """Return mean and mean square of each channel."""
        return torch.stack(self.sums).sum(0) / frames, torch.stack(self.squares).sum(0) / frames

    def overall(self, count: int) -> tuple[Tensor, Tensor]:
        """Return mean and mean square of all `count` features."""
        return torch.cat(self.sums).sum() / count, torch.cat(self.squares).sum() / count


def affine(mean: Tensor, square: Tensor, part: ConvNorm) -> Affine:
    """Return a, b by channel such that a x + b is x normalised."""
    norm = part.norm
    scale = norm.weight * ((square - mean.square()).clamp_min(0) + norm.eps).rsqrt()
    return scale, norm.bias - scale * mean


def convolve(
    features: Tensor, conv: nn.Conv1d, span: Span, start: int, *, folded: Affine | None = None
) -> Tensor:
    """Return frames `span` of a depthwise convolution.

    Args:
        features: A stretch of its input, `[frame, channel]`, that reaches over both ends of the
            span as far as the recording does.
        conv: The convolution.
        span: First output frame and the one after the last.
        start: Frame of the input that the stretch starts with.
        folded: Weight and bias in place of the convolution's own.
    """
    stride, channels = conv.stride[0], features.shape[1]
    weight, bias = folded or (conv.weight, conv.bias)
    picture, padding = image(features.unsqueeze(0)), (0, HALF)
    result = F.conv2d(picture, weight.unsqueeze(2), bias, (1, stride), padding, groups=channels)
    first = (stride * span[0] - start) // stride
    return sequence(result)[0, first : first + span[1] - span[0]]


class Tiled:
    """A U block, made ready for recordings of one length."""

    def __init__(self, block: UBlock, frames: int, prepared: tuple[Tensor, ...]) -> None:
        """Lay out the buffers.

        Args:
            block: The block; depth 3 or more.
            frames: Length of the input.
            prepared: What `block.prepare` gives for that length.
        """
        self.block, self.prepared = block, prepared
        conv = block.proj_1x1.conv
        self.stages = children(block.spp_dw, ConvNorm)
        self.fusions = children(block.loc_glo_fus, Gate) if block.gated else []
        self.gates = children(block.last_layer, Gate)
        self.lengths = [frames]
        for _ in self.stages[1:]:
            self.lengths.append((self.lengths[-1] + 1) // 2)
        self.channels = conv.out_channels
        self.tile = max(TILE * torch.get_num_threads() // self.channels, 2 * KERNEL)
        self.weight = conv.weight.flatten(1)
        precise = self.weight.double()
        self.gram, self.column = precise.t() @ precise, precise.sum(0)
        assert conv.bias is not None
        self.projected_bias = conv.bias.double() @ precise
        self.slope = float(block.proj_1x1.act.weight)
        self.out_weight = block.res_conv.weight.flatten(1)
        self.scales = [self.weight.new_empty(n, self.channels) for n in self.lengths]
        longest = max(self.lengths[1], self.lengths[-3])
        self.act = self.weight.new_empty(longest, self.channels)
        self.embedding = self.weight.new_empty(longest, self.channels)
        self.finer = self.weight.new_empty(self.lengths[-3], self.channels)

    def spans(self, frames: int) -> list[Span]:
        """Return the tiles of `frames` frames."""
        count = max(1, round(frames / self.tile))
        edges = [frames * i // count for i in range(count + 1)]
        return list(pairwise(edges))

    def __call__(self, features: Tensor) -> Tensor:
        """Return one row's `[time, channel]` features after the block."""
        sums = [self.first_scale(features)]
        affines = [affine(*self.total(sums[0]), self.stages[0])]
        for level in range(1, len(self.stages)):
            sums.append(self.next_scale(level, affines[-1]))
            affines.append(affine(*self.total(sums[-1]), self.stages[level]))
        coarse = self.refine(affines)
        inner = [
            self.gated_scale(level, affines[level], sums[level], coarse)
            for level in range(len(self.gates))
        ]
        return self.top_down(features, inner)

    def total(self, channel: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and mean square over the channels."""
        return channel[0].mean(), channel[1].mean()

    def projection(self, features: Tensor) -> Affine:
        """Return weight and bias of the projection, its normalisation folded in."""
        conv, part = self.block.proj_1x1.conv, self.block.proj_1x1
        assert conv.bias is not None
        frames, count = features.shape[0], features.shape[0] * self.channels
        across = features.t().contiguous()
        gram, total = linear(across, across).double(), features.sum(0).double()
        bias = conv.bias.double()
        mean = (total @ self.column + frames * bias.sum()) / count
        square = (gram * self.gram).sum() + 2 * (total @ self.projected_bias)
        square = (square + frames * (bias @ bias)) / count
        scale, offset = affine(mean, square, part)
        weight = self.weight * scale.to(features.dtype).unsqueeze(1)
        return weight, (scale * bias + offset).to(features.dtype)

    def first_scale(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Fill the finest scale; return its means by channel."""
        frames, sums = self.lengths[0], Sums(by_channel=True)
        weight, bias = self.projection(features)
        for start, stop in self.spans(frames):
            low, high = max(0, start - HALF), min(frames, stop + HALF)
            inner = F.leaky_relu_(linear(features[low:high], weight, bias), self.slope)
            tile = convolve(inner, self.stages[0].conv, (start, stop), low)
            self.scales[0][start:stop] = tile
            sums.add(tile)
        return sums.by_channel(frames)

    def next_scale(self, level: int, finer: Affine) -> tuple[Tensor, Tensor]:
        """Fill scale `level` from the normalised scale before; return its means by channel."""
        frames, sums = self.lengths[level], Sums(by_channel=True)
        source, conv = self.scales[level - 1], self.stages[level].conv
        scale, offset = finer
        taps = conv.weight.squeeze(1) * offset.unsqueeze(1)  # what each adds to every frame
        assert conv.bias is not None
        folded = conv.weight * scale.view(-1, 1, 1), conv.bias + taps.sum(1)
        # Before the first and after the last frame there is zero, and not the offset.
        beyond = 2 * frames + HALF - 1 - len(source)
        for start, stop in self.spans(frames):
            low = max(0, 2 * start - HALF)
            high = min(len(source), 2 * (stop - 1) + HALF + 1)
            tile = convolve(source[low:high], conv, (start, stop), low, folded=folded)
            if start == 0:
                tile[0] -= taps[:, :HALF].sum(1)
            if stop == frames:
                tile[-1] -= taps[:, -beyond:].sum(1)
            self.scales[level][start:stop] = tile
            sums.add(tile)
        return sums.by_channel(frames)

    def refine(self, affines: list[Affine]) -> Tensor:
        """Return the global features, `[row, coarse time, channel]`."""
        coarsest = self.lengths[-1]
        total = self.scales[-1].new_zeros(coarsest, self.channels)
        for (scale, offset), buffer in zip(affines, self.scales, strict=True):
            pooled = sequence(F.adaptive_avg_pool2d(image(buffer[None]), (1, coarsest)))[0]
            total = total + torch.addcmul(offset, pooled, scale)
        return self.block.refine(total.unsqueeze(0), self.prepared)[0]

    def fusion(
        self, level: int, own: Affine, channel: tuple[Tensor, Tensor], coarse: Tensor
    ) -> Affine:
        """Return p, q at the coarsest scale: the fused scale is x up(p) + up(q), x unnormalised."""
        scale, offset = own
        if not self.block.gated:
            return scale.expand_as(coarse), coarse + offset
        fuse, (mean, square) = self.fusions[level], channel
        weight = fuse.local_embedding.conv.weight.flatten()
        # of w (a x + b), by channel, then over all
        square = weight.square() * (scale.square() * square + offset * (2 * scale * mean + offset))
        mean = weight * (scale * mean + offset)
        local = affine(mean.mean(), square.mean(), fuse.local_embedding)
        branches = []
        for part in (fuse.global_act, fuse.global_embedding):
            branch, sums = coarse * part.conv.weight.flatten(), Sums()
            sums.add(branch)
            gain, shift = affine(*sums.overall(branch.numel()), part)
            branches.append(torch.addcmul(shift, branch, gain))
        gate = branches[0].sigmoid_()
        gained = local[0] * weight
        return gate * (gained * scale), torch.addcmul(branches[1], gate, gained * offset + local[1])

    def gated_scale(
        self, level: int, own: Affine, channel: tuple[Tensor, Tensor], coarse: Tensor
    ) -> Affine:
        """Replace a scale by the local branch of its top-down gate; return how to normalise it."""
        factor, added = self.fusion(level, own, channel, coarse)
        frames, buffer, sums = self.lengths[level], self.scales[level], Sums()
        index = nearest(coarse.shape[0], frames, coarse.device)
        part = self.gates[level].local_embedding
        waiting: tuple[int, int, Tensor] | None = None
        for start, stop in self.spans(frames):
            low, high = max(0, start - HALF), min(frames, stop + HALF)
            place = index[low:high]
            fused = added.index_select(0, place)
            fused.addcmul_(buffer[low:high], factor.index_select(0, place))
            if level == len(self.gates) - 2:  # the first top-down gate takes this one
                self.finer[low:high] = fused
            tile = convolve(fused, part.conv, (start, stop), low)
            sums.add(tile)
            if waiting is not None:  # the next tile needed this one's old frames
                buffer[waiting[0] : waiting[1]] = waiting[2]
            waiting = (start, stop, tile)
        if waiting is not None:
            buffer[waiting[0] : waiting[1]] = waiting[2]
        return affine(*sums.overall(buffer.numel()), part)

    def branches(self, gate: Gate, source: Tensor) -> tuple[Affine, Affine]:
        """Fill both coarse branches of a gate; return how to normalise them."""
        frames, results = source.shape[0], []
        parts = ((gate.global_act, self.act), (gate.global_embedding, self.embedding))
        both = (Sums(), Sums())
        for start, stop in self.spans(frames):
            low, high = max(0, start - HALF), min(frames, stop + HALF)
            for (part, buffer), sums in zip(parts, both, strict=True):
                tile = convolve(source[low:high], part.conv, (start, stop), low)
                buffer[start:stop] = tile
                sums.add(tile)
        for (part, _), sums in zip(parts, both, strict=True):
            results.append(affine(*sums.overall(source.numel()), part))
        return results[0], results[1]

    def top_down(self, features: Tensor, inner: list[Affine]) -> Tensor:
        """Return the block's output; `inner` normalises each scale's local branch."""
        source, output = self.finer, torch.empty_like(features)
        conv = self.block.res_conv
        for level in range(len(self.gates) - 1, -1, -1):
            act, embedding = self.branches(self.gates[level], source)
            frames, buffer = self.lengths[level], self.scales[level]
            index = nearest(source.shape[0], frames, features.device)
            twice = doubles(source.shape[0], frames, features.device)
            for start, stop in self.spans(frames):
                place = index[start:stop]
                low, high = int(place[0]), int(place[-1]) + 1
                gate = torch.addcmul(act[1], self.act[low:high], act[0]).sigmoid_()
                added = torch.addcmul(embedding[1], self.embedding[low:high], embedding[0])
                added.addcmul_(gate, inner[level][1])
                gate.mul_(inner[level][0])
                gated = buffer[start:stop]
                if twice:
                    for parity in (0, 1):
                        own, first = gated[parity::2], (start + parity) // 2 - low
                        coarse = slice(first, first + len(own))
                        torch.addcmul(added[coarse], own, gate[coarse], out=own)
                else:
                    gated.mul_(gate.index_select(0, place - low))
                    gated.add_(added.index_select(0, place - low))
                if level == 0:
                    found = linear(gated, self.out_weight, conv.bias)
                    torch.add(features[start:stop], found, out=output[start:stop])
            source = buffer
        return output
