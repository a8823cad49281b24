import pytest
import torch

from sepcli.networks import spgm

from . import golden


def test_config_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="multiple of heads: 10"):
        spgm.Config(channels=10, heads=4)
    with pytest.raises(ValueError, match="segment must be even: 7"):
        spgm.Config(segment=7)


@torch.inference_mode()
def test_pooling_picks_what_it_is_called_after() -> None:
    segments = torch.randn(2, 3, 5, 4)
    expected = {"mean": segments.mean(2), "max": segments.amax(2), "last": segments[:, :, -1]}
    for kind, pooled in expected.items():
        block = spgm.Modulation(spgm.Config(channels=4, heads=2, pool=kind))  # type: ignore[arg-type]
        vector = pooled.mean(1)
        gain = block.s_lin(vector).sigmoid() + block.g_lin(vector)
        assert torch.allclose(block(segments), segments * gain[:, None, None], atol=1e-6), kind


@torch.inference_mode()
def test_weighted_pooling_is_a_weighted_mean() -> None:
    pool = spgm.Pool(4, None)
    segments = torch.randn(2, 3, 5, 4)
    weights = pool.model["linear1"](segments).exp()
    expected = (weights * segments).sum(2) / weights.sum(2)
    assert torch.allclose(pool(segments), expected, atol=1e-5)


@torch.inference_mode()
def test_late_samples_reach_the_first_estimates() -> None:
    built = golden.build("spgm", golden.narrow_config("spgm", "spgm-att"))
    mixture = torch.randn(1, 8000)
    changed = mixture.clone()
    changed[:, -100:] += 1
    assert not torch.allclose(built(mixture)[..., :100], built(changed)[..., :100], atol=1e-7)
