"""GC3 in the published layout, on our weights; benchmarks/speed_light.py times it.

Features come before frames, every linear map is permuted to and from, the TAC concatenates, and
all context stretches go through the codec at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from sepcli.networks import gc3


def plain_tac(tac: gc3.TAC, x: Tensor, eps: float) -> Tensor:
    """Return TAC on `[batch, groups, features, frames]`."""
    batch, groups, width, frames = x.shape
    rows = x.permute(0, 3, 1, 2).contiguous().view(-1, width)
    own = tac.TAC_input(rows).view(batch, frames, groups, -1)
    mean = tac.TAC_mean(own.mean(2).view(batch * frames, -1)).view(batch, frames, 1, -1)
    joint = torch.cat([own, mean.expand_as(own)], 3).view(batch * frames * groups, -1)
    told = tac.TAC_output(joint).view(batch, frames, groups, width)
    told = told.permute(0, 2, 3, 1).contiguous().view(batch * groups, width, frames)
    normed = F.group_norm(told, 1, tac.TAC_norm.weight, tac.TAC_norm.bias, eps)
    return x + normed.view(x.shape)


def plain_lstm(projected: gc3.ProjectedLSTM, x: Tensor) -> Tensor:
    """Return the projected LSTM on `[rows, features, steps]`, by way of a batch-first LSTM."""
    rnn = projected.rnn
    steps = x.transpose(1, 2).contiguous()
    state = torch.zeros(2, len(x), rnn.hidden_size, dtype=x.dtype)
    # nn.LSTM(batch_first=True) on the same weights
    hidden = torch.lstm(
        steps, (state, state), list(rnn.parameters()), True, 1, 0.0, False, True, True
    )[0]
    told = projected.proj(hidden.contiguous().view(-1, hidden.shape[2]))
    return told.view(len(x), steps.shape[1], -1).transpose(1, 2).contiguous()


def plain_context(codec: gc3.ContextRNN, x: Tensor) -> Tensor:
    """Return half of the context codec on `[rows, groups, features, frames]`."""
    for tac, rnn, norm in zip(codec.TAC, codec.rnn, codec.LN, strict=True):
        x = plain_tac(tac, x, 1e-5)
        told = plain_lstm(rnn, x.flatten(0, 1))
        x = x + F.group_norm(told, 1, norm.weight, norm.bias, 1e-5).view(x.shape)
    return x


def plain_split(x: Tensor, size: int) -> tuple[Tensor, int]:
    """Return `[batch, features, size, stretches]` of `[batch, features, frames]`, and the gap."""
    half = size // 2
    gap = size - (half + x.shape[2] % size) % size
    padded = F.pad(x, (half, half + gap))
    first = padded[:, :, :-half].contiguous().view(*x.shape[:2], -1, size)
    second = padded[:, :, half:].contiguous().view(*x.shape[:2], -1, size)
    both = torch.cat([first, second], 3).view(*x.shape[:2], -1, size)
    return both.transpose(2, 3).contiguous(), gap


def plain_merge(x: Tensor, gap: int) -> Tensor:
    """Return `[batch, features, frames]` of `[batch, features, size, stretches]`."""
    batch, width, size, _ = x.shape
    half = size // 2
    both = x.transpose(2, 3).contiguous().view(batch, width, -1, size * 2)
    first = both[..., :size].contiguous().view(batch, width, -1)[..., half:]
    second = both[..., size:].contiguous().view(batch, width, -1)[..., :-half]
    return (first + second)[..., :-gap].contiguous()


def plain_dprnn(model: gc3.DualPath, x: Tensor) -> Tensor:
    """Return GC-DPRNN on `[batch, groups, features, frames]`."""
    inner = model.seq_model
    batch, groups, width, _ = x.shape
    y, gap = plain_split(x.flatten(0, 1), model.length)
    rows, _, size, count = y.shape
    for i, tac in enumerate(inner.TAC):
        y = plain_tac(tac, y.view(batch, groups, width, -1), 1e-5).view(rows, width, size, count)
        row = y.permute(0, 3, 1, 2).contiguous().view(rows * count, width, size)
        told = plain_lstm(inner.row_rnn[i], row).view(rows, count, width, size)
        y = y + inner.row_norm[i](told.permute(0, 2, 3, 1).contiguous())
        col = y.permute(0, 2, 1, 3).contiguous().view(rows * size, width, count)
        told = plain_lstm(inner.col_rnn[i], col).view(rows, size, width, count)
        y = y + inner.col_norm[i](told.permute(0, 2, 1, 3).contiguous())
    return plain_merge(inner.output(y), gap).view(x.shape)


def plain_gc3(network: gc3.Network, mixture: Tensor) -> Tensor:
    """Return what the network returns, computed the published way; DPRNN inside only."""
    config = network.config
    stride = config.window // 2
    rest = config.window - (stride + mixture.shape[1]) % config.window
    encoded = network.encoder(F.pad(mixture, (stride, stride + rest)).unsqueeze(1))
    batch, num_filters, frames = encoded.shape
    groups = config.num_groups
    split, gap = plain_split(network.norm(encoded), config.context)
    count = split.shape[3]
    rows = split.permute(0, 3, 1, 2).contiguous().view(batch * count, groups, -1, config.context)
    squeezed = plain_context(network.context_enc, rows).mean(3)
    squeezed = squeezed.view(batch, count, groups, -1).permute(0, 2, 3, 1).contiguous()
    summary = plain_dprnn(network.seq_model, squeezed)
    summary = summary.permute(0, 3, 1, 2).contiguous().view(batch * count, groups, -1, 1)
    rows = plain_context(network.context_dec, rows + summary)
    rows = rows.view(batch, count, num_filters, config.context).permute(0, 2, 3, 1).contiguous()
    features = plain_merge(rows, gap).view(batch * groups, -1, frames)
    masks = network.mask(features).view(batch, groups, config.num_speakers, -1, frames)
    masks = masks.transpose(1, 2).contiguous().view(batch, -1, num_filters, frames)
    masked = (masks * encoded.unsqueeze(1)).view(-1, num_filters, frames)
    decoded = network.decoder(masked)[:, :, stride : -(rest + stride)]
    return decoded.view(batch, config.num_speakers, -1)
