"""DPRNN, DPTNet, GALR and Conv-TasNet against the same weights in the published structure.

The plain structure is what the published code does, one layer after the other, channels first:
segments as a fourth dimension, permutes around every recurrent layer, which takes all sequences at
once, every norm a mean, a variance and an affine map, every convolution a `conv1d`. Both run by
turns; side_by_side.py says what is printed.

    python benchmarks/speed_recurrent.py [--seconds 4 30] [--repeats 5] [--threads 2] [NAME ...]
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from side_by_side import Case, main
from torch import Tensor, nn

from sepcli.networks import convtasnet, dprnn, dptnet, galr

SAMPLE_RATE = 8000


def batch_first(rnn: nn.LSTM) -> nn.LSTM:
    """Return a copy that takes `[batch, time, features]`."""
    copy = nn.LSTM(
        rnn.input_size, rnn.hidden_size, bidirectional=rnn.bidirectional, batch_first=True
    )
    copy.load_state_dict(rnn.state_dict())
    return copy.eval()


def norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-8) -> Tensor:
    """Return x normalised over all but the batch, channels first."""
    dims = tuple(range(1, x.dim()))
    mean = x.mean(dims, keepdim=True)
    var = torch.var(x, dims, keepdim=True, unbiased=False)
    normed = (x - mean) / (var + eps).sqrt()
    return (gamma * normed.transpose(1, -1) + beta).transpose(1, -1)


def cut(x: Tensor, length: int, hop: int) -> Tensor:
    """Return segments `[batch, channels, length, segments]`."""
    out = F.unfold(x.unsqueeze(-1), (length, 1), padding=(length, 0), stride=(hop, 1))
    return out.view(x.shape[0], x.shape[1], length, -1)


def join(x: Tensor, length: int, hop: int, frames: int) -> Tensor:
    """Return overlap-added segments, `[batch, channels, frames]`."""
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, channels * length, -1)
    out = F.fold(flat, (frames, 1), (length, 1), padding=(length, 0), stride=(hop, 1))
    return out.view(batch, channels, -1)


def gated(x: Tensor, masker: Any) -> Tensor:
    """Return tanh branch times sigmoid branch."""
    return masker.net_out[0](x).tanh() * masker.net_gate[0](x).sigmoid()


def wave(mixture: Tensor, features: Tensor, masks: Tensor, decoder: Tensor, stride: int) -> Tensor:
    """Return the masked features as waveforms, `[batch, speakers, time]`."""
    masked = (masks * features.unsqueeze(1)).flatten(0, 1)
    out = F.conv_transpose1d(masked, decoder, stride=stride)
    return F.pad(out, (0, mixture.shape[-1] - out.shape[-1])).view(
        mixture.shape[0], -1, mixture.shape[-1]
    )


class PlainDPRNN:
    """DPRNN in the published structure."""

    def __init__(self, ours: dprnn.Network) -> None:
        self.ours, self.config = ours, ours.config
        self.rnns = [
            (batch_first(b.intra_RNN.rnn), batch_first(b.inter_RNN.rnn)) for b in ours.masker.net
        ]

    def __call__(self, mixture: Tensor) -> Tensor:
        """Return estimates."""
        config, masker = self.config, self.ours.masker
        features = F.conv1d(mixture.unsqueeze(1), self.ours.encoder.filters, stride=config.stride)
        first, conv = masker.bottleneck
        out = cut(conv(norm(features, first.gamma, first.beta)), config.segment, config.hop)
        for block, (intra, inter) in zip(masker.net, self.rnns, strict=True):
            out = out + self._within(out, block, intra)
            out = out + self._across(out, block, inter)
        out = masker.first_out[1](masker.first_out[0](out))
        batch, _, length, count = out.shape
        out = out.reshape(batch * config.num_speakers, -1, length, count)
        out = gated(join(out, length, config.hop, features.shape[-1]), masker)
        masks = masker.mask_net(out).sigmoid().view(batch, config.num_speakers, *features.shape[1:])
        return wave(mixture, features, masks, self.ours.decoder.filters, config.stride)

    def _within(self, x: Tensor, block: Any, rnn: nn.LSTM) -> Tensor:
        batch, width, length, count = x.shape
        out = x.transpose(1, -1).reshape(batch * count, length, width)
        out = block.intra_linear(rnn(out)[0])
        out = out.reshape(batch, count, length, width).transpose(1, -1)
        return norm(out, block.intra_norm.gamma, block.intra_norm.beta)

    def _across(self, x: Tensor, block: Any, rnn: nn.LSTM) -> Tensor:
        batch, width, length, count = x.shape
        out = x.transpose(1, 2).transpose(2, -1).reshape(batch * length, count, width)
        out = block.inter_linear(rnn(out)[0])
        out = out.reshape(batch, length, count, width).transpose(1, -1).transpose(2, -1)
        return norm(out, block.inter_norm.gamma, block.inter_norm.beta)


class PlainDPTNet:
    """DPTNet in the published structure."""

    def __init__(self, ours: dptnet.Network) -> None:
        self.ours, self.config = ours, ours.config
        self.layers = [self._layer(layer) for block in ours.masker.layers for layer in block]

    def _layer(self, layer: Any) -> tuple[nn.MultiheadAttention, nn.LSTM, Any]:
        attention = nn.MultiheadAttention(self.config.num_filters, self.config.num_heads)
        attention.load_state_dict(layer.mha.state_dict())
        return attention.eval(), batch_first(layer.recurrent), layer

    def __call__(self, mixture: Tensor) -> Tensor:
        """Return estimates."""
        config, masker = self.config, self.ours.masker
        encoder = self.ours.encoder.filters
        features = F.conv1d(mixture.unsqueeze(1), encoder, stride=config.stride).relu()
        out = norm(features, masker.in_norm.gamma, masker.in_norm.beta)
        out = cut(out, config.segment, config.hop)
        batch, width, length, count = out.shape
        for index, layer in enumerate(self.layers):
            if index % 2 == 0:
                rows = out.permute(0, 3, 1, 2).reshape(batch * count, width, length)
                rows = self._run(rows, layer).reshape(batch, count, width, length)
                out = rows.permute(0, 2, 3, 1)
            else:
                rows = out.permute(0, 2, 1, 3).reshape(batch * length, width, count)
                rows = self._run(rows, layer).reshape(batch, length, width, count)
                out = rows.permute(0, 2, 1, 3)
        out = masker.first_out[1](masker.first_out[0](out))
        out = out.reshape(batch * config.num_speakers, width, length, count)
        out = join(out, length, config.hop, features.shape[-1]) / (length / config.hop)
        masks = gated(out, masker).relu().view(batch, config.num_speakers, *features.shape[1:])
        return wave(mixture, features, masks, self.ours.decoder.filters, config.stride)

    def _run(self, x: Tensor, layer: Any) -> Tensor:
        attention, rnn, ours = layer
        turned = x.permute(2, 0, 1)
        x = attention(turned, turned, turned)[0].permute(1, 2, 0) + x
        x = norm(x, ours.norm_mha.gamma, ours.norm_mha.beta)
        out = ours.linear(rnn(x.transpose(1, -1))[0].relu())
        return norm(out.transpose(1, -1) + x, ours.norm_ff.gamma, ours.norm_ff.beta)


class PlainGALR:
    """GALR in the structure of the dual-path networks that were published."""

    def __init__(self, ours: galr.Network) -> None:
        self.ours, self.config = ours, ours.config
        self.rnns = [batch_first(block.rnn) for block in ours.blocks]
        self.attentions = [self._attention(block.attend) for block in ours.blocks]

    def _attention(self, ours: Any) -> nn.MultiheadAttention:
        attention = nn.MultiheadAttention(self.config.filters, self.config.num_heads)
        attention.in_proj_weight.data = ours.project_in.weight.data
        attention.in_proj_bias.data = ours.project_in.bias.data
        attention.out_proj.load_state_dict(ours.project_out.state_dict())
        return attention.eval()

    def __call__(self, mixture: Tensor) -> Tensor:
        """Return estimates."""
        ours, length = self.ours, self.config.segment
        stride = self.config.kernel_size // 2
        padded = F.pad(mixture, (stride, stride + -mixture.shape[-1] % stride)).unsqueeze(1)
        features = F.conv1d(padded, ours.encoder.weight, stride=stride).relu()
        out = norm(features, ours.norm.weight, ours.norm.bias)
        out = cut(F.conv1d(out, ours.bottleneck.weight.unsqueeze(-1)), length, length // 2)
        for block, rnn, attention in zip(ours.blocks, self.rnns, self.attentions, strict=True):
            out = out + self._within(out, block, rnn)
            out = out + self._across(out, block, attention)
        out = ours.split(ours.activation(out))
        batch, count, speakers = out.shape[0], out.shape[-1], self.config.num_speakers
        out = out.reshape(batch * speakers, -1, length, count)
        out = join(out, length, length // 2, features.shape[-1])
        masks = ours.mask(ours.output(out).tanh() * ours.gate(out).sigmoid()).relu()
        masked = (masks.view(batch, speakers, *features.shape[1:]) * features.unsqueeze(1)).flatten(
            0, 1
        )
        decoded = ours.decoder(masked).view(batch, speakers, -1)
        return decoded[..., stride : stride + mixture.shape[-1]]

    def _within(self, x: Tensor, block: Any, rnn: nn.LSTM) -> Tensor:
        batch, width, length, count = x.shape
        out = x.transpose(1, -1).reshape(batch * count, length, width)
        first = block.first_hidden.expand(2, batch * count, -1).contiguous()
        cell = block.first_cell.expand(2, batch * count, -1).contiguous()
        out = block.project(rnn(out, (first, cell))[0])
        out = out.reshape(batch, count, length, width).transpose(1, -1)
        return norm(out, block.local_norm.weight, block.local_norm.bias, 1e-5)

    def _across(self, x: Tensor, block: Any, attention: nn.MultiheadAttention) -> Tensor:
        batch, width, _, count = x.shape
        few = block.shrink(x.transpose(2, 3))  # [batch, width, count, positions]
        rows = few.permute(2, 0, 3, 1).reshape(count, -1, width)
        table = galr.sinusoids(0, count, width).unsqueeze(1)
        rows = block.attend.first_norm(rows) + table
        rows = block.attend.last_norm(rows + attention(rows, rows, rows)[0])
        few = rows.reshape(count, batch, -1, width).permute(1, 3, 0, 2)
        out = block.expand(few).transpose(2, 3)
        return norm(out, block.global_norm.weight, block.global_norm.bias, 1e-5)


class PlainConvTasNet:
    """Conv-TasNet in the published structure."""

    def __init__(self, ours: convtasnet.Network) -> None:
        self.ours, self.config = ours, ours.config

    def __call__(self, mixture: Tensor) -> Tensor:
        """Return estimates."""
        config, masker = self.config, self.ours.masker
        features = F.conv1d(mixture.unsqueeze(1), self.ours.encoder.filters, stride=config.stride)
        first, conv = masker.bottleneck
        out = conv(norm(features, first.gamma, first.beta))
        skips: Any = 0.0
        for block in masker.TCN:
            widen, prelu, norm1, depthwise, prelu2, norm2 = block.shared_block
            wide = norm(prelu(widen(out)), norm1.gamma, norm1.beta)
            wide = F.conv1d(
                wide,
                depthwise.weight,
                depthwise.bias,
                padding=block.dilation,
                dilation=block.dilation,
                groups=wide.shape[1],
            )
            wide = norm(prelu2(wide), norm2.gamma, norm2.beta)
            out = out + block.res_conv(wide)
            skips = skips + block.skip_conv(wide)
        prelu, conv = masker.mask_net
        masks = conv(prelu(skips)).view(-1, config.num_speakers, *features.shape[1:]).relu()
        return wave(mixture, features, masks, self.ours.decoder.filters, config.stride)


def _recurrent(network: Any, config: Any, plain: Callable[[Any], Any]) -> Case:
    return Case(lambda: network.Network(config), plain, SAMPLE_RATE)


CASES = {
    "dprnn-ks2": _recurrent(
        dprnn, dprnn.Config(kernel_size=2, stride=1, segment=250, hop=125), PlainDPRNN
    ),
    "dprnn-ks16": _recurrent(dprnn, dprnn.Config(), PlainDPRNN),
    "dptnet": _recurrent(dptnet, dptnet.Config(), PlainDPTNet),
    "galr": _recurrent(galr, galr.Config(), PlainGALR),
    "galr-large": _recurrent(galr, galr.Config(filters=128), PlainGALR),
    "convtasnet": _recurrent(
        convtasnet, convtasnet.Config(mask_activation="relu"), PlainConvTasNet
    ),
}

if __name__ == "__main__":
    main(__file__, CASES, __doc__)
