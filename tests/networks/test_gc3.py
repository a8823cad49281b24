import pytest
import torch

from sepcli.models.build import Weightless
from sepcli.networks import fast, gc3


@pytest.mark.parametrize("frames", [1, 3, 4, 11, 12])
def test_every_frame_lies_in_two_stretches(frames: int) -> None:
    features = torch.randn(2, 3, frames, 5)
    stretches = gc3.split(features, 8)
    assert stretches.shape[2:] == (3, 8, 5)
    torch.testing.assert_close(gc3.join(stretches, frames), 2 * features)


@pytest.mark.parametrize(
    ("config", "parameters"),
    # table V of the context codec's paper: 123.8 K, 191.2 K, 128.6 K
    [
        (gc3.Config(num_layers=8), 123_772),
        (gc3.Config(inner="tcn"), 191_168),
        (gc3.Config(inner="transformer", num_layers=8), 128_636),
    ],
)
def test_has_the_size_of_the_paper(config: gc3.Config, parameters: int) -> None:
    with Weightless():
        network = gc3.Network(config)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_u_blocks_may_have_one_channel_a_group() -> None:
    sizes = {"num_filters": 32, "num_groups": 16, "hidden": 8, "context": 0, "inner": "ublock"}
    plain = gc3.Network(gc3.Config(**sizes)).eval()  # type: ignore[arg-type]
    mixture = torch.randn(2, 700)
    expected = plain(mixture)  # with autograd
    with torch.inference_mode():
        torch.testing.assert_close(plain(mixture), expected.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            fast.optimize(plain)(mixture), expected.detach(), rtol=1e-4, atol=1e-5
        )
