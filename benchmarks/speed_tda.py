"""TDANet, S4M and TIGER against the same weights in the structure of the published code.

The plain structure is what the papers' figures say, one layer after the other, channels first:
every convolution a `conv1d`, every normalisation a mean, a variance and an affine map, every gate
resized to the fine scale, the state-space kernel computed at each call. Both run interleaved in one
process; medians and their ratio are printed.

    python benchmarks/speed_tda.py [--seconds 4 30] [--repeats 5] [--threads 2] [NAME ...]
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sepcli.networks import s4m, tdanet, tiger


def plain_norm(x: Tensor, norm: Any) -> Tensor:
    """Return x normalised over all but the batch, channels first."""
    if isinstance(norm, nn.GroupNorm):
        normed: Tensor = norm(x)
        return normed
    dims = tuple(range(1, x.dim()))
    mean = x.mean(dims, keepdim=True)
    var = (x - mean).pow(2).mean(dims, keepdim=True)
    normed = (x - mean) / (var + norm.eps).sqrt()
    return (norm.weight * normed.transpose(1, -1) + norm.bias).transpose(1, -1)


def plain_conv_norm(x: Tensor, part: Any) -> Tensor:
    """Return the convolution, normalised."""
    return plain_norm(part.conv(x), part.norm)


def plain_gate(local: Tensor, coarse: Tensor, gate: Any) -> Tensor:
    """Return the gated local features."""
    size = local.shape[-1]
    act = F.interpolate(plain_conv_norm(coarse, gate.global_act).sigmoid(), size=size)
    added = F.interpolate(plain_conv_norm(coarse, gate.global_embedding), size=size)
    return plain_conv_norm(local, gate.local_embedding) * act + added


def plain_block(x: Tensor, block: Any, refine: Callable[[Tensor], Tensor]) -> Tensor:
    """Return x through a U block."""
    act = block.proj_1x1.act
    scales = [plain_conv_norm(act(plain_conv_norm(x, block.proj_1x1)), block.spp_dw[0])]
    for stage in block.spp_dw[1:]:
        scales.append(plain_conv_norm(scales[-1], stage))
    coarse = sum(F.adaptive_avg_pool1d(s, scales[-1].shape[-1]) for s in scales)
    coarse = refine(coarse)
    fused = [plain_gate(s, coarse, g) for s, g in zip(scales, block.loc_glo_fus, strict=True)]
    top = len(fused) - 2
    expanded = plain_gate(fused[top], fused[top - 1], block.last_layer[top])
    for i in range(top - 1, -1, -1):
        expanded = plain_gate(fused[i], expanded, block.last_layer[i])
    out: Tensor = block.res_conv(expanded) + x
    return out


def plain_mlp(x: Tensor, mlp: Any) -> Tensor:
    """Return the convolutional feed-forward layer's output."""
    return plain_conv_norm(mlp.dwconv(plain_conv_norm(x, mlp.fc1)).relu(), mlp.fc2)


def plain_attention(x: Tensor, block: Any) -> Tensor:
    """Return TDANet's global features."""
    part = block.globalatt.attn
    y = part.attn_in_norm(x.transpose(1, 2))
    y = y + part.pos_enc(y.shape[1])
    out = part.attn(y, y, y)[0]
    x = x + part.norm(out + out).transpose(1, 2)
    return x + plain_mlp(x, block.globalatt.mlp)


ROTATED: dict[int, Tensor] = {}


def plain_kernel(kernel: Any, frames: int) -> Tensor:
    """Return S4's kernel from its generating function, `[direction, channel, frames]`."""
    w = torch.complex(-kernel.inv_w_real.exp(), kernel.w_imag)
    w = torch.cat([w, w.conj()], 1) * kernel.log_dt.exp().unsqueeze(1)
    b, p = (torch.cat([v, v.conj()], -1) for v in map(torch.view_as_complex, (kernel.B, kernel.P)))
    if frames not in ROTATED:  # the published code does this once, at the first call
        transition, _, out = kernel.system()
        power = torch.linalg.matrix_power(transition, frames)
        ROTATED[frames] = (out - out @ power).transpose(0, 1).to(b.dtype)
    c = ROTATED[frames]
    omega = torch.exp(-2j * math.pi * torch.arange(frames // 2 + 1) / frames)
    z = 2 * (1 - omega) / (1 + omega)
    dt = kernel.log_dt.exp().unsqueeze(1)
    cauchy = 1 / (z - w.unsqueeze(2))  # [channel, state, node]

    def product(left: Tensor, right: Tensor) -> Tensor:
        return ((left * right).unsqueeze(-1) * cauchy).sum(-2) * dt

    low = product(c, p) * product(p.conj(), b) / (1 + product(p.conj(), p))
    return torch.fft.irfft((product(c, b) - low) * 2 / (1 + omega), frames)


def plain_state_space(x: Tensor, block: Any) -> Tensor:
    """Return S4M's global features."""
    s4, ff = block.s4, block.ff
    y = s4.norm(x.transpose(1, 2)).transpose(1, 2)
    frames = x.shape[-1]
    forward, backward = plain_kernel(s4.layer.kernel.kernel, frames)
    kernel = F.pad(forward, (0, frames)) + F.pad(backward.flip(-1), (frames, 0))
    size = 2 * frames
    z = torch.fft.irfft(torch.fft.rfft(y, size) * torch.fft.rfft(kernel, size), size)[..., :frames]
    z = F.gelu(z + s4.layer.D.transpose(0, 1) * y)
    x = x + s4.layer.output_linear(z)
    return x + ff.layer.ff(ff.norm(x.transpose(1, 2)).transpose(1, 2))


def plain_masker(network: Any, mixture: Tensor) -> Tensor:
    """Return TDANet's or S4M's estimates."""
    refine = plain_attention if hasattr(network.sm.unet, "globalatt") else plain_state_space
    samples, margin = mixture.shape[1], network.window - network.stride
    rest = network.window - (network.stride + samples % network.window) % network.window
    encoded = network.encoder(F.pad(mixture, (margin, rest + margin)).unsqueeze(1))
    x = network.bottleneck(plain_norm(encoded, network.ln))
    y = plain_block(x, network.sm.unet, lambda c: refine(c, network.sm.unet))
    for _ in range(network.sm.repeats - 1):
        y = plain_block(
            network.sm.concat_block(x + y), network.sm.unet, lambda c: refine(c, network.sm.unet)
        )
    masks = network.mask_net(y).view(len(mixture), network.num_speakers, encoded.shape[1], -1)
    masked = (masks * encoded.unsqueeze(1)).flatten(1, 2)
    estimates: Tensor = network.decoder(masked)[:, :, margin : margin + samples]
    return estimates


def plain_channel_norm(x: Tensor, norm: Any) -> Tensor:
    """Return x normalised over the channels, `[batch, channel, ...]`."""
    mean = x.mean(1, keepdim=True)
    std = (x.var(1, unbiased=False, keepdim=True) + tiger.CHANNEL_EPS).sqrt()
    return (x - mean) / std * norm.gamma + norm.beta


def plain_full_attention(x: Tensor, attention: Any) -> Tensor:
    """Return TIGER's attention over axis 3 of `[batch, channel, position, element]`."""
    x = x.transpose(2, 3).contiguous()

    def project(part: Any) -> Tensor:
        return plain_channel_norm(part.act(part.conv(x)), part.norm)

    q, k, v = (
        torch.cat([project(part) for part in parts])
        for parts in (attention.Queries, attention.Keys, attention.Values)
    )
    q, k, u = (y.transpose(1, 2).flatten(2) for y in (q, k, v))
    weights = torch.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5, 2)
    seen = (weights @ u).view(v.transpose(1, 2).shape).transpose(1, 2)
    seen = seen.reshape(len(attention.Queries), len(x), *seen.shape[1:]).transpose(0, 1)
    last = attention.attn_concat_proj
    joined = plain_channel_norm(last.act(last.conv(seen.flatten(1, 2))), last.norm)
    return (joined + x).transpose(2, 3).contiguous()


def plain_cell(x: Tensor, separator: Any) -> Tensor:
    """Return `[batch, channel, frame, band]` features after both paths."""
    for path in (separator.freq_path, separator.frame_path):
        rows = x.permute(0, 2, 1, 3).contiguous()
        block = path[0]
        y = plain_block(rows.flatten(0, 1), block, lambda c, b=block: plain_mlp(c, b.globalatt))
        y = y.view(rows.shape).permute(0, 2, 1, 3).contiguous()
        y = plain_channel_norm(plain_full_attention(y, path[1]), path[2])
        x = (x + y).transpose(2, 3).contiguous()
    return x


def plain_tiger(network: Any, mixture: Tensor) -> Tensor:
    """Return TIGER's estimates."""
    config = network.config
    window = torch.hann_window(config.window)
    arguments = (config.window, config.stride)
    spectrum = torch.stft(mixture, *arguments, window=window, return_complex=True)
    bands = [
        band(torch.cat([part.real, part.imag], 1))
        for part, band in zip(spectrum.split(config.bands, 1), network.BN, strict=True)
    ]
    x = torch.stack(bands, 3)
    y = plain_cell(x, network.separator)
    for _ in range(config.repeats - 1):
        y = plain_cell(network.separator.concat_block(x + y), network.separator)
    masks = network.masks(y.permute(0, 2, 3, 1))
    masked = (spectrum.unsqueeze(1) * masks).flatten(0, 1)
    estimates = torch.istft(masked, *arguments, window=window, length=mixture.shape[1])
    return estimates.view(len(mixture), -1, mixture.shape[1])


Make = Callable[[], nn.Module]
NETWORKS: dict[str, tuple[Make, Callable[[Any, Tensor], Tensor]]] = {
    "tdanet-2ms": (lambda: tdanet.Network(tdanet.Config(window=32)), plain_masker),
    "tdanet-4ms": (lambda: tdanet.Network(tdanet.Config()), plain_masker),
    "s4m-tiny": (lambda: s4m.Network(s4m.Config()), plain_masker),
    "s4m-4ms": (lambda: s4m.Network(s4m.Config(window=64, depth=4)), plain_masker),
    "tiger": (lambda: tiger.Network(tiger.Config()), plain_tiger),
}
SAMPLE_RATE = 16000


def compare(name: str, seconds: float, repeats: int, clock: Callable[[], float]) -> None:
    """Print both medians and their ratio."""
    make, plain = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    mixture = 0.1 * torch.randn(1, round(seconds * SAMPLE_RATE))
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    with torch.inference_mode():
        ours, reference = network(mixture), plain(network, mixture)
        error = float((ours - reference).abs().max() / reference.abs().max())
        for _ in range(repeats):
            for kind, call in (
                ("plain", lambda: plain(network, mixture)),
                ("ours", lambda: network(mixture)),
            ):
                start = clock()
                call()
                times[kind].append(clock() - start)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    print(
        f"{name:12} {seconds:5g} s  plain {medians['plain']:8.3f}  ours {medians['ours']:8.3f}"
        f"  ratio {medians['plain'] / medians['ours']:6.2f}"
        f"  (fastest {min(times['plain']):.3f} / {min(times['ours']):.3f})  difference {error:.1e}",
        flush=True,
    )


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--seconds", nargs="+", type=float, default=[4.0, 30.0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # With one thread, time the processor gave to others is left out.
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    for name in arguments.names or NETWORKS:
        for seconds in arguments.seconds:
            compare(name, seconds, arguments.repeats, clock)


if __name__ == "__main__":
    main()
