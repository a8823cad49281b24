import pytest
import torch

from sepcli.networks.convtasnet import BatchNorm, Block, Config

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


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dilation", [1, 4, 64])  # 64: outer taps see nothing of 20 frames
def test_shifted_products_are_the_convolution(dilation: int, causal: bool) -> None:
    torch.manual_seed(0)
    block = Block(Config(causal=causal, conv_kernel_size=3, **NARROW), dilation)
    conv = torch.nn.Conv1d(7, 7, 3, groups=7, dilation=dilation)
    features, gain, offset = torch.randn(2, 20, 7), torch.rand(2, 1, 7), torch.randn(2, 1, 7)
    ours = block._convolve((features, gain, offset), conv)
    padding = (2 * dilation, 0) if causal else (dilation, dilation)
    affine = (features * gain + offset).transpose(1, 2)
    expected = conv(torch.nn.functional.pad(affine, padding)).transpose(1, 2)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_batch_norm_learns_its_statistics() -> None:
    torch.manual_seed(0)
    norm, reference = BatchNorm(4), torch.nn.BatchNorm1d(4)
    for _ in range(3):
        features = torch.randn(2, 9, 4) * 3 + 1
        out, gain, offset = norm(features)
        expected = reference(features.transpose(1, 2)).transpose(1, 2)
        assert torch.allclose(out * gain + offset, expected, atol=1e-5)
    norm.eval(), reference.eval()
    out, gain, offset = norm(features)
    expected = reference(features.transpose(1, 2)).transpose(1, 2)
    assert torch.allclose(out * gain + offset, expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"stride": 17}, {"conv_kernel_size": 4}])
def test_refuses_sizes_that_do_not_fit(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)
