import pytest
import torch
from torch.nn import functional as F

from sepcli.networks import mossformer2


def test_filters_of_a_conv_linear_hold_its_skip() -> None:
    module = mossformer2.ConvLinear(6, 4)
    features = mossformer2.unit_scale(torch.randn(2, 30, 6))
    projected = F.silu(module.mdl["1"](features))
    taps = module.get_parameter("mdl.3.sequential.1.conv.weight")
    convolved = F.conv1d(projected.transpose(1, 2), taps, padding=8, groups=4).transpose(1, 2)
    with torch.no_grad():
        assert torch.allclose(module(features), projected + convolved, atol=1e-5)


def test_blocks_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    config = mossformer2.Config(channels=8, layers=1, memory_channels=6, group=16, query_channels=8)
    network = mossformer2.Network(config).eval()
    mixture = torch.randn(1, 8 * 90)
    with torch.no_grad():
        whole = network(mixture)
        monkeypatch.setattr(mossformer2, "BLOCK_FRAMES", 32)
        assert torch.allclose(network(mixture), whole, atol=1e-5 * float(whole.abs().max()))


def test_dense_convolutions_are_grouped_ones() -> None:
    module = mossformer2.DenseConvolutions(6)
    features = torch.randn(2, 50, 6)
    image = features.transpose(1, 2).unsqueeze(-1)
    first = F.conv2d(image, module.conv1.weight, padding=(19, 0), groups=6)
    first = module.prelu1(module.norm1(first))
    both = torch.cat([first, image], 1)
    second = F.conv2d(both, module.conv2.weight, padding=(38, 0), dilation=(2, 1), groups=6)
    expected = module.prelu2(module.norm2(second)).squeeze(-1).transpose(1, 2)
    with torch.no_grad():
        assert torch.allclose(module(features), expected, atol=1e-4)


def test_rotation_depends_on_distance_only() -> None:
    rotary = mossformer2.Rotary(torch.nn.Parameter(mossformer2.rates(8)))
    query = torch.randn(1, 1, 12).expand(1, 40, 12)
    key = torch.randn(1, 1, 12).expand(1, 40, 12)
    with torch.no_grad():
        turned_query, turned_key = rotary([query, key])
    products = (turned_query[0] @ turned_key[0].T).diagonal(5)
    assert torch.allclose(products, products[:1].expand_as(products), atol=1e-4)
