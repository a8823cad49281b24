"""From waveform to features, from features to masks, and back: the ends of time-domain networks."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers.linear import linear
from sepcli.networks.layers.segments import merge


def encode(mixture: Tensor, weight: Tensor, stride: int, activation: str = "relu") -> Tensor:
    """Return features of a waveform, `[batch, frames, features]`.

    A strided convolution without bias or padding; samples that do not fill a last frame are left
    out, and a waveform shorter than one frame is filled up with zeros.

    Args:
        mixture: `[batch, time]`.
        weight: `[features, 1, kernel]`.
        stride: Distance of frames [samples].
        activation: One of those of `linear`.
    """
    kernel = weight.shape[-1]
    if mixture.shape[-1] < kernel:
        mixture = F.pad(mixture, (0, kernel - mixture.shape[-1]))
    return linear(mixture.unfold(-1, kernel, stride), weight.flatten(1), activation=activation)


def decode(features: Tensor, weight: Tensor, stride: int, num_samples: int) -> Tensor:
    """Return the waveforms of features, `[batch, speakers, num_samples]`.

    A transposed convolution without bias; zeros fill what no frame reaches.

    Args:
        features: `[batch, frames, speakers, features]`.
        weight: `[features, 1, kernel]`.
        stride: Distance of frames [samples].
        num_samples: Length to trim or fill to.
    """
    to_samples = weight.flatten(1).t().contiguous()  # [kernel, features]
    return overlap_add(linear(features, to_samples), stride, num_samples)


def overlap_add(pieces: Tensor, stride: int, num_samples: int) -> Tensor:
    """Return the waveforms of frames of samples, `[batch, speakers, num_samples]`; see `decode`.

    Args:
        pieces: `[batch, frames, speakers, kernel]`.
        stride: Distance of frames [samples].
        num_samples: Length to trim or fill to.
    """
    batch, frames, speakers, kernel = pieces.shape
    pieces = pieces.transpose(1, 2).reshape(batch * speakers, frames, kernel, 1)
    length = (frames - 1) * stride + kernel
    waveforms = merge(pieces, stride, 0, min(length, num_samples)).view(batch, speakers, -1)
    return F.pad(waveforms, (0, num_samples - waveforms.shape[-1]))


def mask_mixture(
    mixture: Tensor,
    masker: Callable[[Tensor], Tensor],
    encoder: Tensor,
    decoder: Tensor,
    stride: int,
    activation: str = "relu",
) -> Tensor:
    """Return estimates: the mixture's features times masks, decoded; `[batch, speakers, time]`.

    Args:
        mixture: `[batch, time]`.
        masker: Given features `[batch, frames, features]`, returns masks for them,
            `[batch, frames, speakers, features]`.
        encoder: Weight of `encode`.
        decoder: Weight of `decode`.
        stride: Distance of frames [samples].
        activation: Of `encode`.
    """
    features = encode(mixture, encoder, stride, activation)
    masked = masker(features) * features.unsqueeze(2)
    return decode(masked, decoder, stride, mixture.shape[-1])


def gate_features(split: Tensor, output: nn.Module, gate: nn.Module) -> Tensor:
    """Return `tanh(output(split)) * sigmoid(gate(split))`, shaped like `split`.

    Args:
        split: `[..., features]`.
        output: A 1×1 convolution with bias.
        gate: A 1×1 convolution with bias.
    """
    assert isinstance(output, nn.Conv1d) and isinstance(gate, nn.Conv1d)
    values = linear(split, output.weight.squeeze(-1), output.bias, activation="tanh")
    return values * linear(split, gate.weight.squeeze(-1), gate.bias, activation="sigmoid")


def gated_masks(split: Tensor, output: nn.Module, gate: nn.Module, last: Tensor) -> Tensor:
    """Return non-negative masks, `relu(last(tanh(output(split)) * sigmoid(gate(split))))`.

    Args:
        split: Features of each speaker, `[batch, frames, speakers, features]`.
        output: A 1×1 convolution with bias.
        gate: A 1×1 convolution with bias.
        last: Weight of a 1×1 convolution, `[masks, features, 1]`.
    """
    return linear(gate_features(split, output, gate), last.squeeze(-1), activation="relu")


class Encoder(nn.Module):
    """Filters under the key `conv1d.weight`, `[channels, 1, kernel]`."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(1, channels, kernel_size, bias=False)
