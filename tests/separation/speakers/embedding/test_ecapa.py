"""ECAPA-TDNN against the recorded numbers of the published network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sepcli.evaluation.complexity import count_macs
from sepcli.separation.speakers.embedding import ecapa
from tests.networks import golden

DATA = Path(__file__).parents[3] / "data" / "voices"
TOLERANCE = 1e-5  # of the largest value; the published float32 is within 1.3e-6 of its float64
NARROW = ("ecapa", "ecapa-shortcut")


def load(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    return json.loads((DATA / f"{name}.json").read_text()), load_file(DATA / f"{name}.safetensors")


def config(recorded: Mapping[str, Any]) -> ecapa.Config:
    return ecapa.Config(
        num_mels=recorded["n_mels"],
        channels=tuple(recorded["channels"]),
        kernel_sizes=tuple(recorded["kernel_sizes"]),
        dilations=tuple(recorded["dilations"]),
        scale=recorded.get("res2net_scale", 8),
        gate_channels=recorded.get("se_channels", 128),
        attention_channels=recorded["attention_channels"],
        dims=recorded["lin_neurons"],
    )


@pytest.fixture(scope="module")
def narrow() -> ecapa.Network:
    about, tensors = load("ecapa")
    network = ecapa.Network(config(about["config"])).eval()
    state = {k.removeprefix("state/"): v for k, v in tensors.items() if k.startswith("state/")}
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize("name", NARROW)
@torch.inference_mode()
def test_gives_the_published_numbers(name: str) -> None:
    about, tensors = load(name)
    network = ecapa.Network(config(about["config"])).eval()
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == about["state"]
    state = {k.removeprefix("state/"): v for k, v in tensors.items() if k.startswith("state/")}
    network.load_state_dict(state, strict=True)
    for which in about["inputs"]:
        ours, theirs = network(tensors[f"in/{which}"]), tensors[f"out/{which}"][:, 0]
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < TOLERANCE * theirs.abs().max(), which


@pytest.mark.parametrize("name", NARROW)
def test_features_are_the_published_ones(name: str) -> None:
    about, tensors = load(name)
    ours = ecapa.log_mel(tensors[f"in/{about['fbank']}"], about["config"]["n_mels"])
    torch.testing.assert_close(ours.transpose(1, 2), tensors["fbank"], rtol=0, atol=2e-4)  # dB


def test_has_the_published_size() -> None:
    about, _ = load("ecapa-voxceleb")
    with torch.device("meta"):
        network = ecapa.Network(config(about["config"]))
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == about["state"]
    assert sum(p.numel() for p in network.parameters()) == about["parameters"] == 20_767_552


def test_takes_the_published_operations() -> None:
    about, _ = load("ecapa-voxceleb")
    with torch.device("meta"):
        network = ecapa.Network(config(about["config"]))
    ours = count_macs(network, 64_000)
    # besides theirs: 401 frames of 400 · log2(400) · 1.25 for the spectrum, 201 · 80 for the bands
    assert ours - about["macs"]["4s"] == pytest.approx(401 * (4322 + 201 * 80), rel=0.01)


@pytest.mark.slow
@torch.inference_mode()
def test_gives_the_published_answer() -> None:
    about, theirs = load("ecapa-voxceleb")
    network = ecapa.Network(config(about["config"])).eval()
    network.load_state_dict(golden.recipe_state(network, about), strict=True)
    mixture = golden.recipe_mixture(16_000)
    assert torch.equal(mixture[0, :1000], theirs["in/first1000"])
    wanted = theirs["out/embedding"]
    assert (network(mixture)[0] - wanted).abs().max() < TOLERANCE * wanted.abs().max()
    features = ecapa.log_mel(mixture, 80)[0, :, 100]
    torch.testing.assert_close(features, theirs["mid/fbank_frame100"], rtol=0, atol=2e-4)


@torch.inference_mode()
def test_takes_any_length_and_silence(narrow: ecapa.Network) -> None:
    for time in (0, 1, 160, 639, 640, 641, 3000):
        assert narrow(torch.randn(2, time)).isfinite().all(), time
        assert narrow(torch.zeros(1, time)).isfinite().all(), time


@torch.inference_mode()
def test_level_does_not_matter(narrow: ecapa.Network) -> None:
    waveform = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(narrow(waveform), narrow(5 * waveform), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_rows_do_not_see_each_other(narrow: ecapa.Network) -> None:
    loud = torch.randn(2, 4000) * torch.tensor([[1.0], [1e-3]])
    torch.testing.assert_close(narrow(loud)[1:], narrow(loud[1:]), rtol=1e-4, atol=1e-5)


def test_a_triangle_has_its_top_at_its_centre() -> None:
    filters = ecapa.mel_filters(80)
    assert filters.shape == (80, 201)
    assert filters.max() <= 1.0
    # 1000 Hz is bin 25; the mel scale is made so that it is 1000 mel there
    edges = torch.linspace(0, 2840.023, 82)
    nearest = (edges[1:-1] - 999.99).abs().argmin()
    assert filters[:, 25].argmax() == nearest


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"channels": (8, 8)}, "one item a layer"),
        ({"kernel_sizes": (5, 4, 3, 3, 1)}, "must be odd"),
        ({"scale": 7}, "multiples of scale"),
        ({"scale": 0}, "1 or more"),
    ],
)
def test_config_says_what_does_not_fit(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ecapa.Config(**sizes)
