import pytest
import torch

from sepcli.networks.convtasnet import Block, Config, CumulativeNorm
from sepcli.networks.layers import global_norm

from . import golden

NARROW = {"num_filters": 8, "bottleneck": 6, "hidden": 7, "skip": 5, "num_blocks": 3}


@pytest.mark.parametrize("norm", ["cLN", "cgLN", "bN"])
def test_causal_network_does_not_see_the_future(norm: str) -> None:
    network = golden.build("convtasnet", Config(causal=True, norm=norm, **NARROW))
    mixture = torch.randn(1, 800)
    changed = mixture.clone()
    changed[:, 400:] = 0
    # the last frame without a changed sample ends at 400; frames that start later reach it
    before, after = network(mixture), network(changed)
    assert torch.allclose(before[..., :384], after[..., :384], atol=1e-6)
    assert not torch.allclose(before[..., 384:], after[..., 384:], atol=1e-3)


@pytest.mark.parametrize(("taps", "causal"), [(3, False), (3, True), (4, True)])
@pytest.mark.parametrize("dilation", [1, 4, 64])  # 64: outer taps see nothing of 20 frames
def test_convolutions_have_zeros_around_or_before(dilation: int, taps: int, causal: bool) -> None:
    torch.manual_seed(0)
    block = Block(Config(causal=causal, conv_kernel_size=taps, **NARROW), dilation)
    conv = torch.nn.Conv1d(7, 7, taps, groups=7, dilation=dilation)
    features = torch.randn(2, 20, 7)
    padding = ((taps - 1) * dilation, 0) if causal else (dilation, dilation)
    expected = conv(torch.nn.functional.pad(features.transpose(1, 2), padding)).transpose(1, 2)
    assert torch.allclose(block.convolve(features, conv), expected, atol=1e-5)


def test_cumulative_norm_sees_no_later_frame() -> None:
    torch.manual_seed(0)
    norm = CumulativeNorm(4)
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    features = torch.randn(2, 7, 4)
    whole = norm(features)
    for time in range(1, 8):
        part = global_norm(features[:, :time], norm.gamma, norm.beta, 1e-8)
        assert torch.allclose(whole[:, time - 1], part[:, -1], atol=1e-4)


@pytest.mark.parametrize("wrong", [{"stride": 17}, {"conv_kernel_size": 4}])
def test_refuses_sizes_that_do_not_fit(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)
