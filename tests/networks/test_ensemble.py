"""The mean of two networks, in one order of speakers."""

import pytest
import torch

from sepcli.networks import gc3, stftformer
from sepcli.networks.ensemble import Config, reordered

from . import golden


def test_estimates_take_the_order_of_the_other_network() -> None:
    like = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(0))
    mixed = torch.stack([like[0][[2, 0, 1]], like[1][[1, 0, 2]]])
    assert torch.equal(reordered(mixed, like), like)


@torch.inference_mode()
def test_is_the_mean_whatever_the_order() -> None:
    built = golden.build("ensemble", golden.narrow_config("ensemble", "two"))
    mixture = torch.randn(1, 500, generator=torch.Generator().manual_seed(0))
    mean = built(mixture)
    first, second = built.stftformer(mixture), built.gc3(mixture)
    both = torch.stack([(first + second) / 2, (first + second.flip(1)) / 2])
    assert (both - mean).abs().amax((1, 2, 3)).min() == 0
    forward = built.gc3.forward
    built.gc3.forward = lambda rows: forward(rows).flip(1)
    assert torch.equal(built(mixture), mean)


def test_both_have_as_many_speakers() -> None:
    with pytest.raises(ValueError, match="both networks must have 2 speakers"):
        Config(stftformer=stftformer.Config(), gc3=gc3.Config(num_speakers=3))
