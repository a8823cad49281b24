import pytest
import torch
from torch.nn import functional as F

from sepcli.networks import layers, mossformer2


def test_filters_of_a_conv_linear_hold_its_skip() -> None:
    module = mossformer2.ConvLinear(6, 4)
    features = layers.unit_scale(torch.randn(2, 30, 6))
    projected = F.silu(module.mdl["1"](features))
    taps = module.get_parameter("mdl.3.sequential.1.conv.weight")
    convolved = F.conv1d(projected.transpose(1, 2), taps, padding=8, groups=4).transpose(1, 2)
    with torch.no_grad():
        assert torch.allclose(module(features), projected + convolved, atol=1e-5)


def test_half_of_the_channels_come_a_frame_later() -> None:
    features = torch.arange(12.0).view(1, 3, 4)
    late = mossformer2.half_late(features)
    assert late.tolist() == [[[0, 0, 2, 3], [0, 1, 6, 7], [4, 5, 10, 11]]]


@pytest.mark.parametrize("frames", [50, 51])
def test_dense_convolutions_are_grouped_ones(frames: int) -> None:
    module = mossformer2.DenseConvolutions(6)
    features = torch.randn(2, frames, 6)
    image = features.transpose(1, 2).unsqueeze(-1)
    first = F.conv2d(image, module.conv1.weight, padding=(19, 0), groups=6)
    first = module.prelu1(module.norm1(first))
    both = torch.cat([first, image], 1)
    second = F.conv2d(both, module.conv2.weight, padding=(38, 0), dilation=(2, 1), groups=6)
    expected = module.prelu2(module.norm2(second)).squeeze(-1).transpose(1, 2)
    with torch.no_grad():
        order = torch.tensor([0, 2, 4, 1, 3, 5])
        assert torch.allclose(module(features[..., order]), expected, atol=1e-4)


def test_rotation_depends_on_distance_only() -> None:
    rotary = mossformer2.Rotary(torch.nn.Parameter(mossformer2.rates(8)))
    heads = mossformer2.Heads(12)
    with torch.no_grad():
        heads.gamma.normal_()
        shared = torch.randn(1, 1, 12).expand(1, 40, 12)
        query, _, key, _ = heads(shared, (1.0, 1.0, 1.0, 1.0), rotary(40))
    products = (query[0] @ key[0].T).diagonal(5)
    assert torch.allclose(products, products[:1].expand_as(products), atol=1e-4)


def test_heads_may_come_from_features_of_any_strides() -> None:
    """As they do where autocast leaves a convolution's result channels first."""
    torch.manual_seed(0)
    heads, turn = mossformer2.Heads(8), mossformer2.Rotary(torch.rand(2))(5)
    shared = torch.randn(2, 8, 5).transpose(1, 2)
    scale = (0.5, 1.0, 2.0, 1.0)
    with torch.no_grad():
        torch.testing.assert_close(
            heads(shared, scale, turn), heads(shared.contiguous(), scale, turn)
        )
