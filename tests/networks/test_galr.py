"""GALR against the figures of its paper, as no code or numbers of it are public."""

import pytest
import torch
from torch import Tensor, nn

from sepcli.evaluation import complexity
from sepcli.networks import dprnn, galr

from . import golden


def meta(build: type[nn.Module], config: object) -> nn.Module:
    with torch.device("meta"):
        return build(config)


@pytest.mark.parametrize(("filters", "millions"), [(64, 1.5), (128, 2.3)])
def test_has_the_size_that_the_paper_states(filters: int, millions: float) -> None:
    network = meta(galr.Network, galr.Config(filters=filters))
    assert round(complexity.count_parameters(network) / 1e6, 1) == millions


def test_takes_half_the_operations_of_dprnn_as_the_paper_states() -> None:
    """The paper's DPRNN is 64 wide and has 2.6 million parameters; window 2, segments of 250."""
    ours = meta(galr.Network, galr.Config(kernel_size=2, segment=250, positions=16))
    config = dprnn.Config(kernel_size=2, stride=1, bottleneck=64, segment=250, hop=125)
    theirs = meta(dprnn.Network, config)
    assert round(complexity.count_parameters(ours) / 1e6, 1) == 1.5
    assert round(complexity.count_parameters(theirs) / 1e6, 1) == 2.6
    share = complexity.count_macs(ours, 32000) / complexity.count_macs(theirs, 32000)
    # 49.4 % fewer; how the paper counted what surrounds the blocks is not known
    assert share == pytest.approx(1 - 0.494, rel=0.03)


def test_stages_have_the_shapes_of_the_paper() -> None:
    config = galr.Config(filters=8, hidden=6, num_heads=2, num_blocks=2, segment=10, positions=3)
    network = golden.build("galr", config)
    shapes = {}

    def keep(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            shapes[name] = (tuple(inputs[0].shape), tuple(output.shape))

        return hook

    block = network.get_submodule("blocks.0")
    block.register_forward_hook(keep("block"))
    block.get_submodule("attend").register_forward_hook(keep("attend"))
    network.get_submodule("norm").register_forward_hook(keep("norm"))
    # 8 samples of stride: 30 of them and one more for the overlap; segments at every 5th frame
    assert network(torch.randn(2, 8 * 30)).shape == (2, 2, 240)
    assert shapes["norm"] == ((2, 31, 8), (2, 31, 8))
    segments = (31 + 10) // 5 + 1
    assert shapes["block"] == ((10, segments, 2, 8),) * 2
    assert shapes["attend"] == ((3, segments, 2, 8),) * 2


def test_attention_does_not_mix_positions() -> None:
    torch.manual_seed(0)
    attention = galr.SegmentAttention(8, 2, 0.0).eval()
    features = torch.randn(3, 5, 2, 8)
    changed = features.clone()
    changed[2, 4, 1, 0] += 1
    moved = (attention(changed) - attention(features)).abs().sum((1, 3)) > 0
    assert moved.tolist() == [
        [False] * 2,
        [False] * 2,
        [False, True],
    ]  # in all segments of that one


def test_attention_knows_the_order_of_segments() -> None:
    torch.manual_seed(0)
    attention = galr.SegmentAttention(8, 2, 0.0).eval()
    features = torch.randn(3, 5, 1, 8)
    assert not torch.allclose(attention(features.flip(1)), attention(features).flip(1), atol=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"kernel_size": 7}, {"segment": 9}, {"num_heads": 5}, {"dropout": 1.0}]
)
def test_refuses_sizes_that_do_not_fit(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        galr.Config(**wrong)
