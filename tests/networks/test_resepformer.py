import pytest
import torch

from sepcli.networks import resepformer

from . import golden


def test_config_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="multiple of heads: 10"):
        resepformer.Config(channels=10, heads=4)


@torch.inference_mode()
def test_segments_know_of_each_other_through_the_memory_only() -> None:
    config = golden.narrow_config("resepformer", "resepformer")
    built = golden.build("resepformer", config)
    mixture = torch.randn(1, 8 * 4 * config.segment)
    changed = mixture.clone()
    changed[:, -200:] += 1
    start = slice(0, 8 * config.segment)
    assert not torch.allclose(built(mixture)[..., start], built(changed)[..., start], atol=1e-7)
    built.masknet.model.mem_model = torch.nn.ModuleList()
    assert torch.equal(built(mixture)[..., start], built(changed)[..., start])
