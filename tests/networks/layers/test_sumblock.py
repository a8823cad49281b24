"""Truth here is the same arithmetic written out, features before frames."""

import torch
import torch.nn.functional as F
from torch import nn

from sepcli.networks.layers.sumblock import SumBlock


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
