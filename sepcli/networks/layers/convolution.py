"""Depthwise convolution over time in the layout that the processor's kernels are fast in."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def depthwise(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    dilation: int = 1,
) -> Tensor:
    """Return each channel convolved with its own filter, `[batch, ceil(time / stride), channels]`.

    Zeros are put around the sequence so that it keeps its length; the kernel is odd.

    With channels last and time along the rows of an image this is one oneDNN kernel, measured 20
    to 100 times as fast as `conv1d` with channels first. It has no fast form for a dilation, but
    every d-th frame in d·C channels, without dilation, is the same sum over the same memory.

    Args:
        features: `[batch, time, channels]`, or `[batch, maps, time, channels]` of maps to add up.
        weight: `[channels, maps, kernel]`, of one map in the first case.
        bias: `[channels]`.
        stride: Distance of the frames that are computed; 1 with a dilation.
        dilation: Distance of the taps [frames].
    """
    if features.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # There is no product to gain from 16 bits, and in bf16 12 channels never come back.
        with torch.autocast("cpu", enabled=False):
            return depthwise(features.float(), weight, bias, stride=stride, dilation=dilation)
    batch, time, channels = features.shape[0], *features.shape[-2:]
    kernel = weight.shape[-1]
    if weight.shape[1:] == (1, 1):  # a product; torch would take it for one matrix a channel
        scaled = features[..., ::stride, :] * weight.flatten()
        return scaled if bias is None else scaled + bias
    steps = math.ceil(time / dilation)
    if steps * dilation != time:
        features = F.pad(features, (0, 0, 0, steps * dilation - time))
    if dilation > 1:
        weight = weight.repeat(dilation, 1, 1)
        bias = None if bias is None else bias.repeat(dilation)
    wide = channels * dilation
    image = features.reshape(batch, -1, steps, wide).permute(0, 3, 1, 2)
    padding = (0, kernel // 2)
    result = F.conv2d(image, weight.unsqueeze(1), bias, (1, stride), padding, groups=wide)
    return result.permute(0, 2, 3, 1).reshape(batch, -1, channels)[:, :time]
