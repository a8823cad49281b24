"""Truth here is the same arithmetic written out, features before frames."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sepcli.networks.layers import groupcomm
from sepcli.networks.layers.groupcomm import TAC, SumBlock, normalise


@torch.inference_mode()
def test_tac_is_transform_average_concatenate() -> None:
    torch.manual_seed(0)
    tac = TAC(4, 6, nn.GroupNorm(1, 4))
    features = torch.randn(2, 3, 7, 4)
    own = tac.TAC_input(features)
    mean = tac.TAC_mean(own.mean(1, keepdim=True)).expand_as(own)
    told = tac.TAC_output(torch.cat([own, mean], -1))
    normed = tac.TAC_norm(told.flatten(0, 1).transpose(1, 2)).transpose(1, 2)
    expected = features + normed.reshape(features.shape)
    torch.testing.assert_close(tac(features), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_normalise_is_a_group_norm_of_one_group() -> None:
    norm = nn.GroupNorm(1, 4, eps=1e-8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = torch.randn(3, 5, 7, 4) * 3 + 2
    expected = norm(features.flatten(0, 1).transpose(1, 2)).transpose(1, 2).view(features.shape)
    torch.testing.assert_close(normalise(features, norm), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("frames", [1, 7, 512, 777])
def test_normalise_in_place_gives_the_same(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    norm = nn.GroupNorm(1, 4, eps=1e-8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = torch.randn(3, 5, frames, 4) * 3 + 2
    expected = normalise(features, norm)
    monkeypatch.setattr(groupcomm, "LARGE", 0)
    torch.testing.assert_close(normalise(features, norm), expected, atol=0, rtol=0)
    found = normalise(features, norm, own=True)
    assert found.data_ptr() == features.data_ptr()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_sum_block_doubles_on_the_way_up() -> None:
    torch.manual_seed(0)
    block = SumBlock(3, 5, 4)
    for frames in (1, 2, 7, 8, 13):
        features = torch.randn(2, frames, 3)

        def unit(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
            norm = module.norm
            return F.group_norm(module.conv(rows), 1, norm.gamma, norm.beta, 1e-8)

        current = F.prelu(unit(block.proj_1x1, features.transpose(1, 2)), block.proj_1x1.act.weight)
        scales = []
        for stage in block.spp_dw:
            current = unit(stage, current)
            scales.append(current)
        for finer in scales[-2::-1]:
            current = finer + F.interpolate(current, scale_factor=2)[..., : finer.shape[-1]]
        norm, act = block.final_norm.norm, block.final_norm.act
        current = act(F.group_norm(current, 1, norm.gamma, norm.beta, 1e-8))
        expected = features + block.res_conv(current).transpose(1, 2)
        torch.testing.assert_close(block(features), expected, atol=2e-5, rtol=1e-4)
