import pytest
import torch
from torch.nn import functional as F

from sepcli.networks import mossformer2

CONFIG = mossformer2.Config(channels=12, layers=1, memory_channels=6, group=16, query_channels=8)


@pytest.mark.parametrize("name", ["channels", "memory_channels", "query_channels"])
def test_odd_channels_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be even: 5"):
        mossformer2.Config(**{name: 5})


def test_a_conv_linear_adds_its_convolution() -> None:
    module = mossformer2.ConvLinear(mossformer2.ScaleNorm(), 6, 4)
    features = torch.randn(2, 30, 6)
    projected = F.silu(module.mdl["1"](module.mdl["0"](features)))
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
        assert torch.allclose(module(features), expected, atol=1e-4)


@pytest.mark.parametrize("frames", [5, 16, 37])
def test_attention_is_near_in_groups_and_far_over_all(frames: int) -> None:
    layer = mossformer2.Network(CONFIG).mask_net.mdl.intra_mdl["mossformerM"].layers[0]
    heads, both = torch.randn(4, 2, frames, 8), torch.randn(2, frames, 10)
    query, far_query, key, far_key = heads
    group = torch.arange(frames) // 16
    near = (query @ key.mT / 16).relu().square() * (group.unsqueeze(1) == group)
    expected = near @ both + far_query @ (far_key.mT @ both) / frames
    assert torch.allclose(layer.attend(heads, both), expected, atol=1e-4)


def test_rotation_depends_on_distance_only() -> None:
    layer = mossformer2.Network(CONFIG).mask_net.mdl.intra_mdl["mossformerM"].layers[0]
    shared = torch.randn(4, 1, 1, 8).expand(4, 1, 40, 8)
    turned = layer.rotary_pos_emb(shared)
    products = (turned[0, 0] @ turned[2, 0].T).diagonal(5)
    assert torch.allclose(products, products[:1].expand_as(products), atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_time_norm_is_an_instance_norm_and_so_is_its_gradient(batch: int) -> None:
    # torch's gradient of a batch norm is wrong for some layouts, without a word
    features = torch.randn(batch, 52, 6)[:, :51].requires_grad_()
    gain, offset, slope = (torch.randn(6) for _ in range(3))
    wanted = F.prelu(F.instance_norm(features.transpose(1, 2), weight=gain, bias=offset), slope)
    given = mossformer2.time_norm(features, gain, offset, slope)
    assert torch.allclose(given, wanted.transpose(1, 2), atol=1e-5)
    towards = torch.randn(batch, 51, 6)
    (expected,) = torch.autograd.grad(wanted.transpose(1, 2), features, towards)
    (gradient,) = torch.autograd.grad(given, features, towards)
    assert torch.allclose(gradient, expected, atol=1e-4)
