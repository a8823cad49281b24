"""The U block in tiles gives what it gives layer by layer."""

from functools import cache

import pytest
import torch
from torch import Tensor

from sepcli.networks import s4m, tdanet
from sepcli.networks.layers.ublock import UBlock
from sepcli.networks.layers.ublock.tiled import Tiled


@cache
def blocks() -> dict[str, UBlock]:
    torch.manual_seed(3)
    sizes = {"channels": 6, "hidden": 8, "repeats": 1, "window": 16}
    networks = {
        "depth 5": tdanet.Network(tdanet.Config(**sizes, depth=5)),
        "depth 3": tdanet.Network(tdanet.Config(**sizes, depth=3)),
        "added": tdanet.Network(tdanet.Config(**sizes, depth=4, gated=False)),
        "state space": s4m.Network(s4m.Config(**sizes, depth=4)),
    }
    for network in networks.values():
        for parameter in network.parameters():  # scales of 1 and offsets of 0 would hide mistakes
            parameter.data += 0.1 * torch.randn_like(parameter)
    return {name: network.double().eval().sm.unet for name, network in networks.items()}


def tiled(block: UBlock, features: Tensor) -> Tensor:
    prepared = block.prepare(block.coarse_frames(len(features)))
    return Tiled(block, len(features), prepared)(features)


# One frame, fewer than a kernel, one tile, several tiles with and without a rest.
@pytest.mark.parametrize("frames", [1, 2, 3, 17, 64, 65, 131])
@pytest.mark.parametrize("tile", [1, 16 * 8])
def test_equals_the_block_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch, frames: int, tile: int
) -> None:
    monkeypatch.setattr("sepcli.networks.layers.ublock.tiled.TILE", tile)
    for name, block in blocks().items():
        features = torch.randn(frames, 6, dtype=torch.float64)
        with torch.inference_mode():
            prepared = block.prepare(block.coarse_frames(frames))
            expected = block(features.unsqueeze(0), prepared)[0]
            difference = (tiled(block, features) - expected).abs().max()
        assert difference < 1e-9 * expected.abs().max(), name  # float64: only the order differs


def test_buffers_keep_nothing_from_the_call_before() -> None:
    block = blocks()["depth 5"]
    features = torch.randn(2, 90, 6, dtype=torch.float64)
    with torch.inference_mode():
        prepared = block.prepare(block.coarse_frames(90))
        one = Tiled(block, 90, prepared)
        one(features[0])
        assert torch.equal(one(features[1]), Tiled(block, 90, prepared)(features[1]))
