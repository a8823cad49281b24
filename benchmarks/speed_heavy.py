"""SPGM, SepFormer, RE-SepFormer and MossFormer2 written plainly, as the published code is.

The published code is not at hand where sepcli is measured, so this stands in for it: channels
first, segments as a fourth dimension, permutes between blocks, attention that returns its weights,
separate normalisation, activation and dropout modules. It loads our weights and gives our numbers.
Both run by turns; side_by_side.py says what is printed.

    python benchmarks/speed_heavy.py [--seconds 4 30] [--repeats 5] [--threads 2] [NAME ...]

MossFormer2 runs at 8 kHz, as most of its checkpoints; `mossformer2-16k` is the one at 16 kHz.
"""

from typing import Any

import torch
from side_by_side import Case, main
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import mossformer2, resepformer, sepformer, spgm


class PlainTransformer(nn.Module):
    """Pre-norm layers on `[batch, time, features]`, attention through `nn.MultiheadAttention`."""

    def __init__(self, dim: int, heads: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(layers):
            layer = nn.Module()
            layer.att = nn.MultiheadAttention(dim, heads, dropout=0.0)
            layer.ffn = nn.Sequential(
                nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(0.0), nn.Linear(hidden, dim)
            )
            layer.norm1, layer.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
            layer.drop = nn.Dropout(0.0)
            self.layers.append(layer)
        self.norm = nn.LayerNorm(dim, 1e-6)

    def load(self, ours: nn.Module) -> None:
        """Take the weights of our transformer."""
        for mine, theirs in zip(self.layers, ours.mdl.layers, strict=True):
            mine.att.load_state_dict(theirs.self_att.att.state_dict())
            mine.ffn.load_state_dict(
                {k: v for k, v in theirs.pos_ffn.ffn.state_dict().items() if k[0] in "03"}
            )
            mine.norm1.load_state_dict(theirs.norm1.norm.state_dict())
            mine.norm2.load_state_dict(theirs.norm2.norm.state_dict())
        self.norm.load_state_dict(ours.mdl.norm.norm.state_dict())
        self.table = ours.pos_enc.pe

    def forward(self, sequences: Tensor) -> Tensor:
        """Return `[batch, time, features]` for the same."""
        kept = []  # the published stack returns the attention of every layer
        out = sequences + self.table[:, : sequences.shape[1]]
        for layer in self.layers:
            normed = layer.norm1(out).permute(1, 0, 2)
            seen, weights = layer.att(normed, normed, normed, need_weights=True)
            kept.append(weights)
            out = out + layer.drop(seen.permute(1, 0, 2))
            out = out + layer.drop(layer.ffn(layer.norm2(out)))
        return self.norm(out)


class PlainDualPath(nn.Module):
    """SPGM or SepFormer with features in the second dimension."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__()
        self.ours, config = ours, ours.config
        masknet = ours.masknet
        is_spgm = isinstance(ours, spgm.Network)
        self.is_spgm = is_spgm
        dim = config.channels
        self.inside, self.across = nn.ModuleList(), nn.ModuleList()
        for block in masknet.dual_mdl:
            if is_spgm:
                inside = (config.heads, config.hidden, config.layers)
            else:
                inside = (config.segment_heads, config.segment_hidden, config.segment_layers)
            stack = PlainTransformer(dim, *inside)
            stack.load(block.intra_mdl)
            self.inside.append(stack)
            if not is_spgm:
                across = (config.across_heads, config.across_hidden, config.across_layers)
                stack = PlainTransformer(dim, *across)
                stack.load(block.inter_mdl)
                self.across.append(stack)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return `[batch, speakers, time]` for `[batch, time]`."""
        net, config = self.ours.masknet, self.ours.config
        stride = config.kernel_size // 2
        encoded = F.relu(
            F.conv1d(mixture.unsqueeze(1), self.ours.encoder.conv1d.weight, None, stride)
        )
        frames = encoded.shape[-1]
        x = net.conv1d(F.group_norm(encoded, 1, net.norm.weight, net.norm.bias, 1e-8))
        x, gap = self._segment(x, config.segment)
        for index, block in enumerate(net.dual_mdl):
            x = self._block(x, index, block)
        x = net.conv2d(net.prelu(x))
        batch, _, length, count = x.shape
        x = x.view(batch * config.num_speakers, -1, length, count)
        x = self._over_add(x, gap)
        x = torch.tanh(net.output(x)) * torch.sigmoid(net.output_gate(x))
        masks = F.relu(net.end_conv1x1(x)).view(batch, config.num_speakers, -1, frames)
        masked = (encoded.unsqueeze(1) * masks).flatten(0, 1)
        out = F.conv_transpose1d(masked, self.ours.decoder.weight, None, stride)
        out = out.view(batch, config.num_speakers, -1)
        return F.pad(out, (0, mixture.shape[-1] - out.shape[-1]))

    def _block(self, x: Tensor, index: int, block: nn.Module) -> Tensor:
        batch, dim, length, count = x.shape
        inside = x.permute(0, 3, 2, 1).contiguous().view(batch * count, length, dim)
        inside = self.inside[index](inside).view(batch, count, length, dim)
        inside = inside.permute(0, 3, 2, 1).contiguous()
        norm = block.intra_norm
        inside = F.group_norm(inside, 1, norm.weight, norm.bias, 1e-8) + x
        across = inside.permute(0, 2, 3, 1).contiguous().view(batch * length, count, dim)
        across = self._modulate(across, block) if self.is_spgm else self.across[index](across)
        across = across.view(batch, length, count, dim).permute(0, 3, 1, 2).contiguous()
        norm = block.inter_norm
        return F.group_norm(across, 1, norm.weight, norm.bias, 1e-8) + inside

    def _modulate(self, x: Tensor, block: nn.Module) -> Tensor:
        segments = x.permute(1, 0, 2)
        scores = block.inter_mdl.pool.model["linear1"](segments).transpose(2, 1)
        pooled = torch.matmul(F.softmax(scores, 2), segments).squeeze(1).mean(0)
        a, b = block.inter_mdl.s_lin(pooled), block.inter_mdl.g_lin(pooled)
        return torch.sigmoid(a) * x + b * x

    def _segment(self, x: Tensor, length: int) -> tuple[Tensor, int]:
        batch, dim, frames = x.shape
        hop = length // 2
        gap = length - (hop + frames % length) % length
        x = F.pad(x, (hop, hop + gap))
        first = x[:, :, :-hop].contiguous().view(batch, dim, -1, length)
        second = x[:, :, hop:].contiguous().view(batch, dim, -1, length)
        both = torch.cat([first, second], 3).view(batch, dim, -1, length).transpose(2, 3)
        return both.contiguous(), gap

    def _over_add(self, x: Tensor, gap: int) -> Tensor:
        batch, dim, length, _ = x.shape
        hop = length // 2
        x = x.transpose(2, 3).contiguous().view(batch, dim, -1, length * 2)
        first = x[..., :length].contiguous().view(batch, dim, -1)[:, :, hop:]
        second = x[..., length:].contiguous().view(batch, dim, -1)[:, :, :-hop]
        return (first + second)[:, :, :-gap]


class PlainRESepFormer(nn.Module):
    """RE-SepFormer with norms in `[batch, channels, time]`."""

    def __init__(self, ours: resepformer.Network) -> None:
        super().__init__()
        self.ours, config = ours, ours.config
        model = ours.masknet.model
        self.stacks = nn.ModuleDict()
        for kind, layers in (("seg", config.segment_layers), ("mem", config.memory_layers)):
            self.stacks[kind] = nn.ModuleList()
            for block in getattr(model, f"{kind}_model"):
                stack = PlainTransformer(config.channels, config.heads, config.hidden, layers)
                stack.load(block)
                self.stacks[kind].append(stack)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return `[batch, speakers, time]` for `[batch, time]`."""
        model, config = self.ours.masknet.model, self.ours.config
        stride, length = config.kernel_size // 2, config.segment
        encoded = F.relu(
            F.conv1d(mixture.unsqueeze(1), self.ours.encoder.conv1d.weight, None, stride)
        )
        batch, dim, frames = encoded.shape
        x = F.pad(encoded.transpose(1, 2), (0, 0, 0, length - frames % length))
        x = x.reshape(-1, length, dim)
        for index in range(config.blocks):
            x = self._block(x, "seg", index)
            if index < config.blocks - 1:
                memory = self._block(x.mean(1).view(batch, -1, dim), "mem", index)
                x = x + memory.view(-1, 1, dim).expand_as(x).contiguous()
        x = x.reshape(batch, -1, dim)[:, :frames].transpose(1, 2)
        masks = F.relu(model.output_fc(x)).view(batch, dim, config.num_speakers, frames)
        masked = (encoded.unsqueeze(2) * masks).transpose(1, 2).flatten(0, 1)
        out = F.conv_transpose1d(masked, self.ours.decoder.weight, None, stride)
        out = out.view(batch, config.num_speakers, -1)
        return F.pad(out, (0, mixture.shape[-1] - out.shape[-1]))

    def _block(self, x: Tensor, kind: str, index: int) -> Tensor:
        norm = getattr(self.ours.masknet.model, f"{kind}_model")[index].norm
        out = self.stacks[kind][index](x).permute(0, 2, 1).contiguous()
        mean = out.mean((1, 2), keepdim=True)
        var = (out - mean).pow(2).mean((1, 2), keepdim=True)
        out = norm.weight * (out - mean) / (var + norm.eps).sqrt() + norm.bias
        return out.permute(0, 2, 1) + x


class PlainMossFormer2(nn.Module):
    """MossFormer2 with convolutions in `[batch, channels, time]` and groups in one product."""

    def __init__(self, ours: mossformer2.Network) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, mixture: Tensor) -> Tensor:
        """Return `[batch, speakers, time]` for `[batch, time]`."""
        net, config = self.ours.mask_net, self.ours.config
        stride = config.kernel_size // 2
        encoded = F.relu(F.conv1d(mixture.unsqueeze(1), self.ours.enc.conv1d.weight, None, stride))
        x = F.group_norm(encoded, 1, net.norm.weight, net.norm.bias, 1e-8)
        x = net.conv1d_encoder(x).transpose(1, 2)
        whole = x + net.pos_enc(x.shape[1])
        x = whole
        stack = net.mdl.intra_mdl.mossformerM
        for attention, memory in zip(stack.layers, stack.fsmn, strict=True):
            x = self._memory(self._attention(x, attention), memory)
        x = net.mdl.intra_mdl.norm(x).transpose(1, 2).contiguous()
        norm = net.mdl.intra_norm
        x = F.group_norm(x, 1, norm.weight, norm.bias, 1e-8) + whole.transpose(1, 2)
        x = net.conv1d_out(net.prelu(x))
        batch, _, frames = x.shape
        x = x.view(batch * config.num_speakers, -1, frames)
        x = torch.tanh(net.output(x)) * torch.sigmoid(net.output_gate(x))
        masks = F.relu(net.conv1_decoder(x)).view(batch, config.num_speakers, -1, frames)
        masked = (encoded.unsqueeze(1) * masks).flatten(0, 1)
        out = F.conv_transpose1d(masked, self.ours.dec.weight, None, stride)
        out = out.view(batch, config.num_speakers, -1)
        return F.pad(out, (0, mixture.shape[-1] - out.shape[-1]))

    def _conv_linear(self, x: Tensor, module: nn.Module) -> Tensor:
        norm, inner = module.mdl["0"], module.mdl["1"]
        if isinstance(norm, nn.LayerNorm):
            x = norm(x)
        else:
            length = torch.norm(x, dim=-1, keepdim=True) * x.shape[-1] ** -0.5
            x = x / length.clamp(min=1e-5) * norm.g
        x = F.silu(inner(x))
        taps = module.get_parameter("mdl.3.sequential.1.conv.weight")
        conv = F.conv1d(x.transpose(1, 2), taps, padding=8, groups=x.shape[-1])
        return x + conv.transpose(1, 2)

    def _attention(self, x: Tensor, layer: nn.Module) -> Tensor:
        batch, frames, _ = x.shape
        group, skip = layer.group, x
        late, stay = x.chunk(2, -1)
        x = torch.cat([F.pad(late, (0, 0, 1, -1)), stay], -1)
        v, u = self._conv_linear(x, layer.to_hidden).chunk(2, -1)
        qk = self._conv_linear(x, layer.to_qk)
        heads = layer.qk_offset_scale(qk, (1.0, 1.0, 1.0, 1.0), layer.rotary_pos_emb(frames))
        pad = -frames % group
        fold = lambda t: F.pad(t, (0, 0, 0, pad)).view(batch, -1, group, t.shape[-1])  # noqa: E731
        q, lin_q, k, lin_k = (fold(t) for t in heads)
        v_, u_ = fold(v), fold(u)
        weights = F.relu(torch.einsum("bgid,bgjd->bgij", q, k) / group) ** 2
        att_v = torch.einsum("bgij,bgjd->bgid", weights, v_)
        att_u = torch.einsum("bgij,bgjd->bgid", weights, u_)
        lin_v = torch.einsum("bgnd,bgne->bde", lin_k, v_) / frames
        lin_u = torch.einsum("bgnd,bgne->bde", lin_k, u_) / frames
        att_v = att_v + torch.einsum("bgnd,bde->bgne", lin_q, lin_v)
        att_u = att_u + torch.einsum("bgnd,bde->bgne", lin_q, lin_u)
        att_v, att_u = (t.reshape(batch, -1, t.shape[-1])[:, :frames] for t in (att_v, att_u))
        out = (att_u * v) * torch.sigmoid(att_v * u)
        return skip + self._conv_linear(out, layer.to_out)

    def _memory(self, x: Tensor, block: nn.Module) -> Tensor:
        conv1, gated = block.conv1, block.gated_fsmn
        narrow = block.norm1(conv1(x.transpose(1, 2)).transpose(1, 2))
        u, v = self._conv_linear(narrow, gated.to_u), self._conv_linear(narrow, gated.to_v)
        memory = gated.fsmn
        inner = memory.project(F.relu(memory.linear(u))).transpose(1, 2).unsqueeze(-1)
        dense = memory.conv
        first = F.conv2d(inner, dense.conv1.weight, padding=(19, 0), groups=inner.shape[1])
        first = dense.prelu1(dense.norm1(first))
        both = torch.cat([first, inner], 1)
        second = F.conv2d(
            both, dense.conv2.weight, padding=(38, 0), dilation=(2, 1), groups=inner.shape[1]
        )
        second = dense.prelu2(dense.norm2(second)).squeeze(-1).transpose(1, 2)
        narrow = block.norm2(v * (u + second) + narrow)
        return block.conv2(narrow.transpose(1, 2)).transpose(1, 2) + x


def _heavy(network: Any, plain: type[nn.Module], sample_rate: int = 8000) -> Case:
    """Return the case of a network in its published size."""
    return Case(
        lambda: network.Network(network.Config()), lambda ours: plain(ours).eval(), sample_rate
    )


CASES = {
    "spgm": _heavy(spgm, PlainDualPath),
    "sepformer": _heavy(sepformer, PlainDualPath),
    "resepformer": _heavy(resepformer, PlainRESepFormer),
    "mossformer2": _heavy(mossformer2, PlainMossFormer2),
    "mossformer2-16k": _heavy(mossformer2, PlainMossFormer2, 16000),
}

if __name__ == "__main__":
    main(__file__, CASES, __doc__)
