"""The mean of two networks, in one order of speakers, and what Wiener filters make of it."""

from dataclasses import replace

import pytest
import torch

from sepcli.networks import gc3, stftformer
from sepcli.networks.ensemble import LONGEST_WINDOW, Config, reordered, shares, wiener
from sepcli.networks.layers.fourier import analyse, sine_window

from . import golden


def test_estimates_take_the_order_of_the_other_network() -> None:
    like = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(0))
    mixed = torch.stack([like[0][[2, 0, 1]], like[1][[1, 0, 2]]])
    assert torch.equal(reordered(mixed, like), like)


@torch.inference_mode()
def test_is_the_mean_whatever_the_order() -> None:
    narrow = golden.narrow_config("ensemble", "two")
    built = golden.build("ensemble", replace(narrow, wiener_windows=()))
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


@torch.inference_mode()
def test_each_filter_makes_as_much_of_the_answer_and_the_mean_the_rest() -> None:
    narrow = golden.narrow_config("ensemble", "two")
    built = golden.build("ensemble", narrow)
    plain = golden.build("ensemble", replace(narrow, wiener_windows=()))
    mixture = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    mean = plain(mixture)
    windows = [sine_window(length, length // 2) for length in narrow.wiener_windows]
    filtered = [wiener(mean, mixture, window) for window in windows]
    expected = 0.15 * mean + 0.85 * torch.stack(filtered).mean(0)
    assert len(windows) == 2
    assert torch.allclose(built(mixture), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.5, 0.5], [0.5, 0.5]),
        ([0.9, 0.1], [0.81 / 0.82, 0.01 / 0.82]),
        ([1 / 3, 0.0], [1 / 5, 0.0]),  # two thirds are left: four times the power
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_a_filter_gives_each_their_share_of_all_power(
    shares: list[float], expected: list[float]
) -> None:
    mixture = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0))
    estimates = torch.tensor(shares)[None, :, None] * mixture
    found = wiener(estimates, mixture, sine_window(64, 32))
    assert torch.allclose(found, torch.tensor(expected)[None, :, None] * mixture, atol=1e-5)


def test_a_filter_leaves_silence_silent_and_follows_the_level() -> None:
    random = torch.Generator().manual_seed(0)
    estimates, window = torch.randn(1, 2, 300, generator=random), sine_window(64, 32)
    mixture = estimates.sum(1)
    assert not wiener(0 * estimates, 0 * mixture, window).any()
    quiet = wiener(1e-6 * estimates, 1e-6 * mixture, window)
    assert torch.allclose(1e6 * quiet, wiener(estimates, mixture, window), atol=1e-4)


@pytest.mark.parametrize("length", [-2, 0, 3, LONGEST_WINDOW + 2])
def test_a_window_that_no_filter_has_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="wiener_windows must be even, 2 to 65536 samples"):
        Config(stftformer=stftformer.Config(), gc3=gc3.Config(), wiener_windows=(64, length))


@torch.inference_mode()
def test_a_guided_transformer_hears_what_the_other_network_found() -> None:
    config = golden.narrow_config("ensemble", "guided")
    built = golden.build("ensemble", replace(config, wiener_windows=()))
    guides = built.stftformer.band_guide.linears
    assert not any(linear.weight.any() for linear in guides)  # nothing is told at first
    mixture = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    for linear in (*guides, *built.stftformer.band_masker.linears):
        torch.nn.init.normal_(linear.weight)
    unheard = built.stftformer(mixture)
    found, window = built.gc3(mixture), built.stftformer.window
    whole = analyse(mixture, window, 16).unsqueeze(1)
    first = built.stftformer(mixture, shares(analyse(found, window, 16), whole))
    assert not torch.allclose(first, unheard)
    assert torch.equal(built(mixture), (first + reordered(found, first)) / 2)


def test_what_guides_is_centred_and_read_in_its_own_bins() -> None:
    config = golden.narrow_config("ensemble", "guided").stftformer
    guide = stftformer.BandGuide(config)
    for linear in guide.linears:
        torch.nn.init.ones_(linear.weight)
    told = torch.full((1, 2, 3, 17), 1 / 3)
    assert torch.allclose(guide(told), torch.zeros(1, 3, 3, 8), atol=1e-6)
    told[0, 1, 2, 5] += 0.5  # the second speaker's, in the last frame, the second band
    expected = torch.zeros(1, 3, 3, 8)
    expected[0, 2, 1] = 0.5
    assert torch.allclose(guide(told), expected, atol=1e-6)


def test_without_bands_nothing_can_be_guided() -> None:
    with pytest.raises(ValueError, match="only bands can be guided: there are none"):
        stftformer.Config(guided=True)
