import pytest
import torch

from sepcli.networks import tflocoformer
from sepcli.networks.tflocoformer import Config

from . import golden


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"window": 128, "stride": 48}, "stride must divide half of window: 48, 128"),
        ({"channels": 30, "groups": 4}, "multiple of groups: 30"),
        ({"attention_channels": 12, "heads": 4}, r"multiple of 2 \* heads: 12"),
        ({"hidden": (8, 0)}, "1 or more"),
    ],
)
def test_config_says_what_does_not_fit(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**sizes)  # type: ignore[arg-type]


@torch.inference_mode()
def test_the_end_is_no_louder_than_the_rest_however_long_the_mixture() -> None:
    config = golden.narrow_config("tflocoformer", "tflocoformer")
    built = golden.build("tflocoformer", config)
    golden.load_state(built, golden.load_golden("tflocoformer"))
    mixture = torch.randn(1, 640, generator=torch.Generator().manual_seed(0))
    for time in range(577, 641):
        estimates = built(mixture[:, :time])
        # the published code gives 70 times as much here
        assert estimates[..., -63:].abs().max() < 4 * estimates[..., :-63].abs().max(), time


def test_the_fade_is_the_cover_over_the_least_cover() -> None:
    taper, time = torch.hann_window(128), 10 * 64 + 63
    faded = tflocoformer.fade_out(torch.ones(2, time), taper, 64)
    least = tflocoformer.LEAST_COVER
    expected = (taper[64:127].square() / least).clamp_max(1)  # 50 % overlap: one window is left
    assert torch.equal(faded[:, :640], torch.ones(2, 640))
    assert torch.allclose(faded[1, 640:], expected)
    assert (faded < 1).sum() < 2 * 0.002 * 8000
    # with 75 % overlap there is always another window
    quarter = tflocoformer.fade_out(torch.ones(1, time), torch.hann_window(256), 64)
    assert torch.equal(quarter, torch.ones(1, time))


@torch.inference_mode()
def test_the_level_passes_through() -> None:
    built = golden.build("tflocoformer", golden.narrow_config("tflocoformer", "tflocoformer"))
    mixture = torch.randn(1, 1000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(built(1e-3 * mixture), 1e-3 * built(mixture), rtol=1e-4, atol=1e-8)
