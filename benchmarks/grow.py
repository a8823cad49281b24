"""Make networks for 16 kHz out of smaller ones, as what their training began with.

    python benchmarks/grow.py stftformer-16k OUTPUT  # out of stftformer-8k
    python benchmarks/grow.py groupcomm-16k OUTPUT   # out of groupcomm-8k
    python benchmarks/grow.py ensemble-16k OUTPUT trained/stftformer trained/groupcomm  # of two
    python benchmarks/grow.py ensemble-16k OUTPUT trained/shallow  # of an ensemble, half as deep
    python benchmarks/grow.py ensemble-16k OUTPUT trained/unguided  # of one without a guide
    sepcli train groupcomm-16k --from OUTPUT --train SPEECH -o trained/groupcomm

Transformers: frames last as long at both rates, so bins up to 4 kHz are the same. Those above are
not heard at first, and masked like the highest ones below. The bands begin by telling the tokens
nothing and masking nothing.

GroupComm: windows last as long at both rates, so the filters are the same, resampled. New ones for
4 to 8 kHz make further groups, which the shared network serves like the others.

An ensemble may be twice as deep as what it is made of: behind each layer of GroupComm's inner
network comes a copy of it whose norms, and so what it adds, are zero. The estimates are the same
but for the rounding of 8 bits, and the copies learn at once. What GroupComm tells the transformer
adds nothing at first either.
"""

import argparse
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from scipy.signal import resample_poly
from torch import Tensor, nn

from sepcli.models.load import load_model
from sepcli.models.resolve import resolve_model
from sepcli.training.export import write_model_folder
from sepcli.training.loop import config_values
from sepcli.training.recipe import Recipe, find_recipe, read_recipe
from sepcli.training.setup import make_network

State = Mapping[str, Tensor]

GOOD_BINS = 126  # below the edge of the 8 kHz recordings' filter
HIGH_BINS = slice(104, 124)  # 3.25 to 3.9 kHz, whose mean mask the bins above take over
# Twice as many samples a frame make spectra twice as large, square roots of them 1.4 times.
INPUT_LEVEL = 0.5**0.5
HIGH_HZ = (4100.0, 8000.0)  # of GroupComm's new filters
HIGH_GAIN = 0.175  # with it the new filters, encoded and decoded, give white noise its level
# These bring estimates to their speaker's level; measured on 24 mixtures.
MASK_LEVEL = 0.081
DECODER_LEVEL = -0.01205
SECOND_MASK_LEVEL = 1.026


def wider_encoder(weight: Tensor, num_bins: int) -> Tensor:
    """Return the token encoder's weight for `num_bins`, zero where there were no bins."""
    known = weight.view(len(weight), 3, -1, 2)  # [dim, frames, bins, parts]
    wide = known.new_zeros(len(weight), 3, num_bins, 2)
    wide[:, :, : known.shape[2]] = INPUT_LEVEL * known
    return wide.flatten(1)


def wider_masker(values: Tensor, num_speakers: int, num_bins: int) -> Tensor:
    """Return the token masker's weight or bias for `num_bins`."""
    known = values.view(num_speakers, -1, 2, *values.shape[1:])  # [speakers, bins, parts, …]
    wide = known[:, HIGH_BINS].mean(1, keepdim=True).repeat_interleave(num_bins, 1)
    wide[:, :GOOD_BINS] = known[:, :GOOD_BINS]
    return MASK_LEVEL * wide.flatten(0, 2)


def transformer(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of `stftformer-8k` for the transformer with bands."""
    weights = load_model(resolve_model("stftformer-8k")).network.state_dict()
    num_bins = network.config.window // 2 + 1
    weights["encoder.linear.weight"] = wider_encoder(weights["encoder.linear.weight"], num_bins)
    for name in ("masker.linear.weight", "masker.linear.bias"):
        speakers = network.config.num_speakers
        weights[name] = wider_masker(weights[name], speakers, num_bins)
    return weights


def high_filters(count: int, window: int, sample_rate: int) -> Tensor:
    """Return cosines and sines by turns under half a sine, `[count, 1, window]`."""
    time = torch.arange(window) + 0.5  # [window]
    low, high = HIGH_HZ
    hertz = low + (torch.arange(count // 2) + 0.5) * (high - low) / (count // 2)
    angles = 2 * math.pi / sample_rate * hertz.unsqueeze(1) * (time - window / 2)
    pairs = torch.stack((angles.cos(), angles.sin()), 1) * (math.pi * time / window).sin()
    return pairs.flatten(0, 1).unsqueeze(1)


def groupcomm(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of `groupcomm-8k` for windows of twice the samples and more groups."""
    weights = load_model(resolve_model("groupcomm-8k")).network.state_dict()
    number, _, window = weights["encoder.weight"].shape
    added = network.config.num_filters - number
    high = high_filters(added, 2 * window, 16000)
    longer = {
        key: torch.from_numpy(resample_poly(weights[key].numpy(), 2, 1, axis=-1))
        for key in ("encoder.weight", "decoder.weight")
    }
    low = longer["encoder.weight"] / 2  # twice as many products are summed
    quiet = high / high.norm(dim=-1).mean() * low.norm(dim=-1).median()
    weights["encoder.weight"] = torch.cat((low, quiet))
    decoder = torch.cat((longer["decoder.weight"], HIGH_GAIN * high))
    weights["decoder.weight"] = DECODER_LEVEL * decoder
    for key in ("norm.weight", "norm.bias"):
        mean = weights[key].mean(0, keepdim=True).expand(added, *weights[key].shape[1:])
        weights[key] = torch.cat((weights[key], mean))
    for key in ("mask.0.weight", "mask.0.bias"):
        first, second = weights[key].chunk(2)
        weights[key] = torch.cat((first, SECOND_MASK_LEVEL * second))
    return weights


def ensemble(models: Sequence[str], network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of an ensemble, of one or of a transformer and a GroupComm."""
    parts = ("stftformer.", "gc3.") if len(models) == 2 else ("",)
    known = {
        part + key: weight
        for part, model in zip(parts, models, strict=True)
        for key, weight in load_model(resolve_model(model)).network.state_dict().items()
    }
    last_layer = f"gc3.seq_model.seq_model.TAC.{network.config.gc3.num_layers - 1}."
    is_deep = any(key.startswith(last_layer) for key in known)
    return known if is_deep else deeper(known)


def deeper(shallow: State) -> dict[str, Tensor]:
    """Return the weights of an ensemble, a silent copy behind each of GroupComm's inner layers."""
    weights: dict[str, Tensor] = {}
    for key, weight in shallow.items():
        layer = re.fullmatch(r"(gc3\.seq_model\.seq_model\.\w+)\.(\d+)\.(.+)", key)
        if layer is None:
            weights[key] = weight
            continue
        part, number, name = layer.groups()
        is_silent = part.endswith("_norm") or name.startswith("TAC_norm")
        weights[f"{part}.{2 * int(number)}.{name}"] = weight
        weights[f"{part}.{2 * int(number) + 1}.{name}"] = weight * (0.0 if is_silent else 1.0)
    return weights


def write(recipe: Recipe, folder: Path, weights_of: Callable[[nn.Module], State]) -> None:
    """Write the recipe's network with other weights as a model folder."""
    network = make_network(recipe)
    network.load_state_dict(network.state_dict() | dict(weights_of(network)))
    folder.mkdir(parents=True, exist_ok=True)
    write_model_folder(folder, recipe, config_values(network), network.state_dict(), None)


def main() -> None:
    """Write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=("stftformer-16k", "groupcomm-16k", "ensemble-16k"))
    parser.add_argument("output", type=Path)
    parser.add_argument("models", nargs="*", help="of which an ensemble is made: two, or one")
    arguments = parser.parse_args()
    if len(arguments.models) not in ((1, 2) if arguments.recipe == "ensemble-16k" else (0,)):
        parser.error("an ensemble is made of one or two models, the others of none")
    ways: dict[str, Callable[[nn.Module], State]] = {
        "stftformer-16k": transformer,
        "groupcomm-16k": groupcomm,
        "ensemble-16k": lambda network: ensemble(arguments.models, network),
    }
    recipe = read_recipe(find_recipe(arguments.recipe))
    write(recipe, arguments.output, ways[arguments.recipe])
    print(arguments.output)


if __name__ == "__main__":
    main()
