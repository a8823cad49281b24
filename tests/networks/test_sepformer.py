import pytest
import torch

from sepcli.networks import sepformer

from . import golden


def test_config_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="multiple of heads: 10"):
        sepformer.Config(channels=10, across_heads=4, segment_heads=5)
    with pytest.raises(ValueError, match="segment must be even: 7"):
        sepformer.Config(segment=7)


@torch.inference_mode()
def test_goes_on_beyond_the_stored_positions() -> None:
    config = sepformer.Config(
        encoder_channels=4,
        channels=4,
        segment=2,
        blocks=1,
        segment_layers=1,
        segment_heads=2,
        segment_hidden=4,
        across_layers=1,
        across_heads=2,
        across_hidden=4,
    )
    built = golden.build("sepformer", config)
    frames = sepformer.POSITION_ROWS + 100  # segments of two frames, half overlapping
    mixture = torch.randn(1, 8 * frames)
    assert built(mixture).isfinite().all()
    assert built.masknet.dual_mdl[0].inter_mdl.pos_enc.pe.shape[1] == sepformer.POSITION_ROWS
