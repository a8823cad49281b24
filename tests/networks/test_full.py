"""The published sizes: their keys, shapes and counts, and (slow) their recorded answers."""

import math

import pytest
import torch
from safetensors.torch import load_file

from sepcli.models.build import Weightless

from . import golden

FULLS = [(network, name) for network, case in golden.cases().items() for name in case.fulls]


def config(network: str, name: str) -> object:
    translate = golden.cases()[network].config
    assert translate is not None
    return translate(golden.load_full(name)["config"])


@pytest.mark.parametrize(("network", "name"), FULLS)
def test_has_the_published_shapes(network: str, name: str) -> None:
    about = golden.load_full(name)
    with Weightless():
        built = golden.build(network, config(network, name))
    assert {k: list(v.shape) for k, v in built.state_dict().items()} == about["state"]
    assert sum(p.numel() for p in built.parameters()) == about["parameters"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("network", "name"), FULLS)
def test_gives_the_published_answer(network: str, name: str) -> None:
    about = golden.load_full(name)
    theirs = load_file(golden.DATA / "full" / f"{name}.safetensors")
    built = golden.build(network, config(network, name))
    built.load_state_dict(golden.recipe_state(built, about), strict=True)
    for key, kept in about["kept"].items():
        assert math.isclose(built.state_dict()[key].double().sum(), kept["sum"], rel_tol=1e-6), key
    mixture = golden.recipe_mixture(about["sample_rate"])
    assert torch.equal(mixture[0, :1000], theirs["in/first1000"])
    with torch.inference_mode():
        estimates = golden.answer(built, mixture, about.get("num_speakers"))[0]
    every = theirs["out/every16"]
    estimates = estimates[: len(every)]
    ours = estimates[:, ::16][:, : every.shape[-1]]
    if name in golden.cases()[network].full_rms:
        error = float((ours - every).square().mean().sqrt() / every.square().mean().sqrt())
        assert error < golden.cases()[network].full_rms[name]
        return
    # both sides carry a rounding error of the size that was recorded for theirs
    tolerance = max(2.5 * about["rel"], 2e-6)
    peak = float(theirs["out/absmax"].max())
    middle = theirs["out/mid1000"].shape[-1]
    start = estimates.shape[-1] // 2
    pieces = {
        "first1000": estimates[:, :1000],
        "mid1000": estimates[:, start : start + middle],
        "last200": estimates[:, -200:],
        "every16": ours,
    }
    for piece, values in pieces.items():
        assert (values - theirs[f"out/{piece}"]).abs().max() < tolerance * peak, piece
