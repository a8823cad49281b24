import math

import pytest
import torch
from torch import nn

from sepcli.networks import srcorrnet
from sepcli.networks.srcorrnet import Config

from . import golden


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"window": 128, "stride": 48}, "window must be twice or four times stride: 128"),
        ({"dim": 12, "heads": 4}, r"multiple of 4 and of 2 \* heads: 12"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"taps_freq": (-1, 1)}, "taps 0 or more"),
        ({"decoder_blocks": 0}, "1 or more"),
    ],
)
def test_config_says_what_does_not_fit(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**sizes)  # type: ignore[arg-type]


def counting(name: str) -> nn.Module:
    built = golden.build("srcorrnet", golden.narrow_config("srcorrnet", name))
    golden.load_state(built, golden.load_golden(name))
    return built


@torch.inference_mode()
def test_each_row_has_its_own_number_of_speakers() -> None:
    built, recorded = counting("srcorrnet-var"), golden.load_golden("srcorrnet-var")
    one, two = 0.01 * recorded.inputs["short1"], recorded.inputs["t777"][:, :511]
    estimates = built(torch.cat((one, two, torch.zeros(1, 511))))
    counts = estimates.any(-1).sum(-1)
    assert counts[0] == recorded.outputs["short1"].shape[1]
    assert counts[2] == 0  # filters of silence, however many
    for row, mixture in enumerate((one, two)):
        torch.testing.assert_close(estimates[row : row + 1], built(mixture), rtol=1e-4, atol=1e-4)
    absent = [not estimate.any() for estimate in estimates[0]]
    assert absent == sorted(absent)  # those present come first


@torch.inference_mode()
def test_there_are_no_more_speakers_than_it_was_trained_for() -> None:
    built, recorded = counting("srcorrnet-var-all"), golden.load_golden("srcorrnet-var-all")
    mixture = recorded.inputs["t777"]
    assert recorded.outputs["t777"].shape[1] == 3  # what the published code makes of it
    estimates = built(mixture)
    assert estimates.shape[1] == built.config.num_speakers == 2
    assert torch.equal(estimates, built(mixture, 2))
    built.spk_split.pres_linear.bias.fill_(-100.0)
    assert not built(mixture).any()


@torch.inference_mode()
def test_the_level_of_a_mixture_changes_nothing() -> None:
    built = golden.build("srcorrnet", golden.narrow_config("srcorrnet", "srcorrnet"))
    mixture = torch.randn(1, 1000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(built(0.01 * mixture), built(mixture), rtol=1e-3, atol=1e-4)


def test_analysis_and_overlap_add_give_the_mixture_back_but_for_two_bins() -> None:
    for stride in (8, 16):
        config = Config(window=32, stride=stride, dim=8, heads=2, hidden=4, cross_hidden=4)
        built = srcorrnet.Network(config).double()
        time = torch.arange(320, dtype=torch.float64)
        mixture = torch.sin(2 * math.pi * 5 / 32 * time).unsqueeze(0)  # in bins 4, 5 and 6
        again = built._synthesise(built._analyse(mixture).unsqueeze(1), 320)[:, 0]
        expected = mixture / mixture.std(-1)
        torch.testing.assert_close(again[:, 32:-32], expected[:, 32:-32], rtol=0, atol=1e-5)


def test_neighbours_are_bins_from_below_and_of_each_the_earlier_frames() -> None:
    config = Config(taps_freq=(1, 0), taps_frame=(1, 1))
    spectrum = torch.complex(torch.arange(12.0).view(1, 3, 4), torch.zeros(1, 3, 4))
    around = srcorrnet.neighbours(spectrum, config).real
    assert around[0, 1, 2].tolist() == [1.0, 5.0, 9.0, 2.0, 6.0, 10.0]
    assert around[0, 0, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 4.0]


def test_a_bin_correlates_with_itself_by_its_magnitude() -> None:
    config = Config(taps_freq=(0, 0), taps_frame=(0, 0))
    spectrum = torch.randn(1, 50, 3, dtype=torch.complex128)
    real, imaginary = srcorrnet.correlations(spectrum, config).unbind(-1)
    level = spectrum.abs().square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(real, spectrum.abs() / level, rtol=0, atol=1e-6)
    assert imaginary.abs().max() < 1e-12
