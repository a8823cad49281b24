"""The light networks against the same weights in the structure of the published code.

TDANet, S4M, TIGER, Sudo rm -rf with and without group communication, and GC3 (gc3_plain.py).

The plain structure is what the papers' figures say, one layer after the other, channels first:
every convolution a `conv1d`, every normalisation a mean, a variance and an affine map, every gate
resized to the fine scale, the state-space kernel computed at each call. Both run by turns;
side_by_side.py says what is printed. With `--against-sepformer` our own SepFormer runs on as many
samples instead.

    python benchmarks/speed_light.py [--seconds 4 30] [--repeats 5] [--threads 2] [NAME ...]
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from gc3_plain import plain_gc3, plain_tac
from side_by_side import Case, main
from torch import Tensor, nn

from sepcli.networks import gc3, groupcomm_sudormrf, s4m, sudormrf, tdanet, tiger

Plain = Callable[[Any, Tensor], Tensor]


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


def plain_sums(x: Tensor, block: Any) -> Tensor:
    """Return x through a U block of Sudo rm -rf."""
    scales = [block.proj_1x1.act(plain_conv_norm(x, block.proj_1x1))]
    for stage in block.spp_dw:
        scales.append(plain_conv_norm(scales[-1], stage))
    expanded = scales.pop()
    for finer in reversed(scales[1:]):
        expanded = finer + F.interpolate(expanded, scale_factor=2.0)
    final = block.final_norm
    out: Tensor = block.res_conv(final.act(plain_norm(expanded, final.norm))) + x
    return out


def plain_sudormrf(network: Any, mixture: Tensor) -> Tensor:
    """Return the improved Sudo rm -rf's estimates."""
    config, masker = network.config, network.masker
    samples, half = mixture.shape[1], config.kernel_size // 2
    padded = F.pad(mixture, (0, -samples % math.lcm(half, 2**config.depth))).unsqueeze(1)
    encoded = F.conv1d(padded, network.encoder.encoder.filters, None, config.stride, half)
    x = masker.bottleneck(plain_norm(encoded, masker.ln))
    for block in masker.sm:
        x = plain_sums(x, block)
    masks = masker.mask_net(x).relu().view(len(x), config.num_speakers, -1, x.shape[2])
    masked = (masks * encoded.unsqueeze(1)).flatten(0, 1)
    filters = network.decoder.filters
    decoded = F.conv_transpose1d(masked, filters, None, config.stride, half, half - 1)
    return decoded.view(len(mixture), config.num_speakers, -1)[:, :, :samples]


def plain_groupcomm(network: Any, mixture: Tensor) -> Tensor:
    """Return the estimates of Sudo rm -rf with group communication."""
    config, samples = network.config, mixture.shape[1]
    mean, deviation = mixture.mean(1, keepdim=True), mixture.std(1, keepdim=True) + 1e-9
    normed = (mixture - mean) / deviation
    whole = config.kernel_size // 2 << config.depth
    encoded = network.encoder(F.pad(normed, (0, -samples % whole)).unsqueeze(1))
    x = network.bottleneck(plain_norm(encoded, network.ln))
    for block in network.sm:
        groups = x.view(len(x), config.num_groups, -1, x.shape[2])
        told = plain_tac(block.TAC, groups, block.TAC.TAC_norm.eps)
        x = plain_sums(told.flatten(0, 1), block.UBlock).view(x.shape)
    masked = network.mask_net(x) * encoded.repeat(1, config.num_speakers, 1)
    estimates = network.decoder(masked)[:, :, :samples]
    left = (normed.unsqueeze(1) - estimates.sum(1, keepdim=True)) / config.num_speakers
    scaled: Tensor = (estimates + left) * deviation.unsqueeze(2)
    return scaled + mean.unsqueeze(2) / config.num_speakers


def _light(make: Callable[[], nn.Module], plain: Plain, sample_rate: int = 16000) -> Case:
    """Return a case whose plain form is a function of the network and the mixture."""
    return Case(make, lambda ours: partial(plain, ours), sample_rate)


CASES = {
    "tdanet-2ms": _light(lambda: tdanet.Network(tdanet.Config(window=32)), plain_masker),
    "tdanet-4ms": _light(lambda: tdanet.Network(tdanet.Config()), plain_masker),
    "s4m-tiny": _light(lambda: s4m.Network(s4m.Config()), plain_masker),
    "s4m-4ms": _light(lambda: s4m.Network(s4m.Config(window=64, depth=4)), plain_masker),
    "tiger": _light(lambda: tiger.Network(tiger.Config()), plain_tiger),
    "gc3": _light(lambda: gc3.Network(gc3.Config()), plain_gc3),
    "sudormrf": _light(lambda: sudormrf.Network(sudormrf.Config()), plain_sudormrf, 8000),
    "groupcomm": _light(
        lambda: groupcomm_sudormrf.Network(groupcomm_sudormrf.Config()), plain_groupcomm, 8000
    ),
}

if __name__ == "__main__":
    main(__file__, CASES, __doc__)
