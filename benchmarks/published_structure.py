"""SPGM, SepFormer and MossFormer2 written plainly, in the structure of the published code.

The published code is not at hand where sepcli is measured, so this stands in for it: channels
first, segments as a fourth dimension, permutes between blocks, attention that returns its weights,
separate normalisation, activation and dropout modules. It loads our weights and gives our numbers;
`python benchmarks/published_structure.py` runs both by turns and prints the ratio of medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks import mossformer2, sepformer, spgm


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
        x = net.conv1d_encoder(net.norm(encoded)).transpose(1, 2)
        whole = x + net.pos_enc(x.shape[1])
        x = whole
        stack = net.mdl.intra_mdl.mossformerM
        for attention, memory in zip(stack.layers, stack.fsmn, strict=True):
            x = self._memory(self._attention(x, attention), memory)
        x = net.mdl.intra_mdl.norm(x).transpose(1, 2).contiguous()
        x = net.mdl.intra_norm(x) + whole.transpose(1, 2)
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
        scale = layer.qk_offset_scale
        heads = (qk.unsqueeze(-2) * scale.gamma + scale.beta).unbind(-2)
        pad = -frames % group
        fold = lambda t: F.pad(t, (0, 0, 0, pad)).view(batch, -1, group, t.shape[-1])  # noqa: E731
        q, lin_q, k, lin_k = (fold(t) for t in layer.rotary_pos_emb(list(heads)))
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


NETWORKS: dict[str, tuple[Callable[[], nn.Module], type[nn.Module], int]] = {
    "spgm": (lambda: spgm.Network(spgm.Config()), PlainDualPath, 8000),
    "sepformer": (lambda: sepformer.Network(sepformer.Config()), PlainDualPath, 8000),
    "mossformer2": (lambda: mossformer2.Network(mossformer2.Config()), PlainMossFormer2, 16000),
}


def product_rate(rows: int, inner: int, outer: int) -> float:
    """Return the best rate of `F.linear` of this size over five tries [GFLOP/s]."""
    left, right = torch.randn(rows, inner), torch.randn(outer, inner)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        F.linear(left, right)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * rows * inner * outer / best


def main() -> None:
    """Print the times of both, by turns, and the ratio of their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--seconds", type=float, nargs="+", default=[4.0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        build, plain, rate = NETWORKS[name]
        torch.manual_seed(0)
        ours = build().eval()
        theirs = plain(ours).eval()
        for seconds in options.seconds:
            mixture = 0.1 * torch.randn(1, int(seconds * rate))
            times: dict[str, list[float]] = {"ours": [], "plain": []}
            with torch.inference_mode():
                error = (ours(mixture) - theirs(mixture)).abs().max() / theirs(mixture).abs().max()
                for _ in range(options.repeats):
                    for label, network in (("ours", ours), ("plain", theirs)):
                        start = time.perf_counter()
                        network(mixture)
                        times[label].append(time.perf_counter() - start)
            fast, slow = (statistics.median(times[label]) for label in ("ours", "plain"))
            print(
                f"{name} {seconds:g} s: ours {fast:.2f} s, plain {slow:.2f} s, "
                f"ratio {slow / fast:.2f}, difference {float(error):.1e}, "
                f"F.linear {product_rate(8192, 256, 1024):.0f} GFLOP/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
