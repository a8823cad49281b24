"""Truth here is the same arithmetic written out, features before frames."""

import torch
import torch.nn.functional as F
from torch import nn

from sepcli.networks.layers import GlobalNorm
from sepcli.networks.layers.groupcomm import TAC, by_group


@torch.inference_mode()
def test_tac_is_transform_average_concatenate() -> None:
    torch.manual_seed(0)
    tac = TAC(4, 6, GlobalNorm((4,), 1e-5))
    features = torch.randn(2, 3, 7, 4)
    own = tac.TAC_input(features)
    mean = tac.TAC_mean(own.mean(1, keepdim=True)).expand_as(own)
    told = tac.TAC_output(torch.cat([own, mean], -1))
    normed = F.group_norm(told.flatten(0, 1).transpose(1, 2), 1).transpose(1, 2)
    expected = features + normed.reshape(features.shape)
    torch.testing.assert_close(tac(features), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_each_group_is_normalised_over_all_of_its_frames() -> None:
    norm, reference = GlobalNorm((4,), 1e-8), nn.GroupNorm(1, 4, eps=1e-8)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    reference.load_state_dict(norm.state_dict())
    features = torch.randn(3, 5, 7, 4) * 3 + 2
    rows = features.flatten(0, 1).transpose(1, 2)
    expected = reference(rows).transpose(1, 2).view(features.shape)
    torch.testing.assert_close(by_group(norm, features), expected, atol=1e-5, rtol=1e-5)
