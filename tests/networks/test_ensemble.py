"""The mean of two networks, in one order of speakers, and what Wiener filters make of it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from sepcli.networks import gc3, stftformer
from sepcli.networks.ensemble import (
    LONGEST_WINDOW,
    Config,
    Filters,
    powers_of,
    reordered,
    shares,
    smoothed,
)
from sepcli.networks.layers.fourier import analyse

from . import golden


def test_estimates_take_the_order_of_the_other_network() -> None:
    like = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(0))
    mixed = torch.stack([like[0][[2, 0, 1]], like[1][[1, 0, 2]]])
    assert torch.equal(reordered(mixed, like), like)


@torch.inference_mode()
def test_is_the_mean_whatever_the_order() -> None:
    narrow = golden.narrow_config("ensemble", "two")
    built = golden.build("ensemble", replace(narrow, wiener_windows=(), wiener_bands=()))
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


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def sharp(windows: Sequence[int], bands: Sequence[int] = ()) -> Filters:
    """Return filters that smooth nothing."""
    filters = Filters(windows, bands)
    for amount in (filters.over_time, filters.over_frequency):
        amount.data.fill_(-100.0)
    return filters


@torch.inference_mode()
def test_the_answer_is_what_the_filters_make_of_the_mean() -> None:
    narrow = golden.narrow_config("ensemble", "two")
    built = golden.build("ensemble", narrow)
    plain = golden.build("ensemble", replace(narrow, wiener_windows=(), wiener_bands=()))
    mixture = noise(2, 500)
    assert torch.equal(built(mixture), built.filters(plain(mixture), mixture))


@torch.inference_mode()
def test_at_first_each_filter_makes_as_much_of_the_answer_and_the_mean_15_percent() -> None:
    mean, mixture = noise(2, 2, 500), noise(2, 500)
    single = []
    for window in (32, 64):
        alone = sharp([window])
        alone.share.data.fill_(100.0)
        single.append(alone(mean, mixture))
    expected = 0.15 * mean + 0.85 * torch.stack(single).mean(0)
    assert torch.allclose(sharp([32, 64])(mean, mixture), expected, atol=1e-6)


@torch.inference_mode()
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
    mixture, alone = noise(1, 1000), sharp([64])
    alone.share.data.fill_(100.0)
    found = alone(torch.tensor(shares)[None, :, None] * mixture, mixture)
    assert torch.allclose(found, torch.tensor(expected)[None, :, None] * mixture, atol=1e-5)


@torch.inference_mode()
def test_each_band_has_its_own_part_of_the_mean() -> None:
    filters = sharp([32, 64], [4, 13])
    filters.share.data[:] = torch.tensor([-100.0, 100.0])  # the mean below 2 kHz, filters above
    time = torch.arange(1600) / 16000
    low, high = (2 * torch.pi * 500 * time).sin(), (2 * torch.pi * 6000 * time).sin()
    mean = torch.stack((0.8 * (low + high), 0 * low))
    found = filters(mean[None], (low + high)[None])[0]
    expected = 0.8 * low + 0.64 / 0.68 * high  # powers of 0.8 and 0.2, the rest is left
    assert torch.allclose(found[0, 64:-64], expected[64:-64], atol=0.02)
    assert not found[1].any()


@torch.inference_mode()
def test_powers_are_smoothed_over_the_nearest_three() -> None:
    powers = torch.tensor([3.0, 0.0, 0.0, 6.0]).view(1, 1, 4, 1)
    whole = smoothed(powers, torch.tensor([[100.0]]), 2)
    assert torch.allclose(whole.flatten(), torch.tensor([2.0, 1.0, 2.0, 4.0]))
    none = smoothed(powers.mT, torch.tensor([-100.0]), 3)
    assert torch.equal(none, powers.mT)
    half = smoothed(powers.mT, torch.tensor([0.0, 0.0, -100.0, -100.0]), 3)
    assert torch.allclose(half.flatten(), torch.tensor([2.5, 0.5, 0.0, 6.0]))


@torch.inference_mode()
def test_filters_leave_silence_silent_and_follow_the_level() -> None:
    estimates, filters = noise(1, 2, 300), Filters([32, 64], [3, 14])
    mixture = estimates.sum(1)
    assert not filters(0 * estimates, 0 * mixture).any()
    quiet = filters(1e-6 * estimates, 1e-6 * mixture)
    assert torch.allclose(1e6 * quiet, filters(estimates, mixture), atol=1e-4)


@pytest.mark.parametrize("length", [-2, 0, 3, LONGEST_WINDOW + 2])
def test_a_window_that_no_filter_has_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="wiener_windows must be even, 2 to 65536 samples"):
        Config(stftformer=stftformer.Config(), gc3=gc3.Config(), wiener_windows=(64, length))


@pytest.mark.parametrize(
    ("windows", "bands", "says"),
    [
        ((64, 32), (), "wiener_windows must grow"),
        ((32, 64), (8, 8), "wiener_bands must have 17 bins in all"),
        ((32, 64), (18, -1), "wiener_bands must have 17 bins in all"),
        ((), (1,), "wiener_bands must have 0 bins in all"),
    ],
)
def test_bands_that_no_filter_has_are_refused(
    windows: tuple[int, ...], bands: tuple[int, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Config(
            stftformer=stftformer.Config(),
            gc3=gc3.Config(),
            wiener_windows=windows,
            wiener_bands=bands,
        )


@torch.inference_mode()
def test_a_guided_transformer_hears_what_the_other_network_found() -> None:
    config = golden.narrow_config("ensemble", "guided")
    built = golden.build("ensemble", replace(config, wiener_windows=(), wiener_bands=()))
    guides = built.stftformer.band_guide.linears
    assert not any(linear.weight.any() for linear in guides)  # nothing is told at first
    mixture = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    for linear in (*guides, *built.stftformer.band_masker.linears):
        torch.nn.init.normal_(linear.weight)
    unheard = built.stftformer(mixture)
    found, window = built.gc3(mixture), built.stftformer.window
    whole = analyse(mixture, window, 16).unsqueeze(1)
    first = built.stftformer(mixture, shares(powers_of(analyse(found, window, 16), whole)))
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
