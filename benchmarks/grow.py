"""Make the 16 kHz transformer with bands out of `stftformer-8k`, as what training began with.

    python benchmarks/grow.py trained/grown
    sepcli train stftformer-16k --from trained/grown --train SPEECH -o trained/stftformer-16k

Both networks have frames of 32 ms every 16 ms, so bins up to 4 kHz are the same. Those above are
not heard at first, and masked like the highest ones below. The bands begin by telling the tokens
nothing and masking nothing.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from sepcli.models.architectures import load_architecture, make_config
from sepcli.models.load import load_network, resolve_model
from sepcli.training.export import write_model_folder
from sepcli.training.loop import config_values
from sepcli.training.recipe import find_recipe, read_recipe

SEED = 0
GOOD_BINS = 126  # below the edge of the 8 kHz recordings' filter
HIGH_BINS = slice(104, 124)  # 3.25 to 3.9 kHz, whose mean mask the bins above take over
MASK_LEVEL = 0.081  # brings estimates to their speaker's level; measured on 24 mixtures
# Twice as many samples a frame make spectra twice as large, square roots of them 1.4 times.
INPUT_LEVEL = 0.5**0.5


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


def main() -> None:
    """Write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    recipe = read_recipe(find_recipe("stftformer-16k"))
    where = recipe.path.name
    torch.manual_seed(SEED)
    config = make_config(recipe.model.architecture, recipe.model.config, where=where)
    network = load_architecture(recipe.model.architecture, where=where).Network(config)
    weights = load_network(resolve_model("stftformer-8k")).state_dict()
    num_bins = config.window // 2 + 1
    weights["encoder.linear.weight"] = wider_encoder(weights["encoder.linear.weight"], num_bins)
    for name in ("masker.linear.weight", "masker.linear.bias"):
        weights[name] = wider_masker(weights[name], config.num_speakers, num_bins)
    network.load_state_dict(network.state_dict() | weights)
    arguments.output.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    write_model_folder(arguments.output, recipe, config_values(network), state, None)
    print(arguments.output)


if __name__ == "__main__":
    main()
