"""What SepFormer and the networks made from it have around their blocks."""

from collections.abc import Iterable

from torch import Tensor, nn

from sepcli.networks.layers.linear import pointwise
from sepcli.networks.layers.segments import half_overlap_padding, merge_split, segment
from sepcli.networks.layers.waveform import gated_masks


class DualPathMasker(nn.Module):
    """Features `[batch, frames, features]` → masks `[batch, frames, speakers, features]`.

    The 1×1 convolution to the speakers' channels, `conv2d`, runs after the segments are merged
    instead of before, as published: the same sum with half the work.

    Args:
        norm: Norm of the features.
        blocks: Each maps segments `[batch, segments, length, channels]` to the same.
        num_speakers: Number of masks.
        features: Features of a frame outside the blocks.
        channels: Channels within them.
        length: Length of a segment [frames], even; segments overlap by half.
    """

    def __init__(
        self,
        norm: nn.Module,
        blocks: Iterable[nn.Module],
        *,
        num_speakers: int,
        features: int,
        channels: int,
        length: int,
    ) -> None:
        super().__init__()
        self.num_speakers = num_speakers
        self.length = length
        self.norm = norm
        self.conv1d = nn.Conv1d(features, channels, 1, bias=False)
        self.dual_mdl = nn.Sequential(*blocks)
        self.conv2d = nn.Conv2d(channels, channels * num_speakers, 1)
        self.end_conv1x1 = nn.Conv1d(channels, features, 1, bias=False)
        self.prelu = nn.PReLU()
        self.output = nn.Sequential(nn.Conv1d(channels, channels, 1))
        self.output_gate = nn.Sequential(nn.Conv1d(channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return masks, `[batch, frames, speakers, features]`."""
        # B: batch, L: frames, N: channels, S: segments, K: frames of a segment, C: speakers
        batch, frames, _ = features.shape
        length, hop = self.length, self.length // 2
        before, after = half_overlap_padding(frames, length)
        narrow = pointwise(self.norm(features), self.conv1d)  # [B, L, N]
        segments = self.dual_mdl(segment(narrow, length, hop, before, after))  # [B, S, K, N]
        split = merge_split(self.prelu(segments), self.conv2d, hop, before, frames)
        split = split.view(batch, frames, self.num_speakers, -1)  # [B, L, C, N]
        return gated_masks(split, self.output[0], self.output_gate[0], self.end_conv1x1.weight)
