"""A network made ready to train."""

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sepcli.errors import AudioError, ModelError, UsageError
from sepcli.models.load import LoadedModel
from sepcli.training import setup
from sepcli.training.export import write_model_folder
from sepcli.training.recipe import ModelRecipe, Recipe
from sepcli.training.setup import (
    batch_maker,
    dev_mixtures,
    make_network,
    missing,
    read_material,
    with_places,
)
from sepcli.training.simulate import Surroundings


@pytest.mark.parametrize(
    ("architecture", "config", "unused"),
    [
        (
            "s4m",
            {"window": 160, "channels": 8, "hidden": 16, "depth": 3, "repeats": 2, "state": 4},
            "sm.unet.loc_glo_fus.2.",
        ),
        ("stftformer", {"dim": 8, "heads": 1, "hidden": 8, "num_blocks": 1}, ""),
    ],
)
def test_what_can_be_trained_is_what_the_estimates_depend_on(
    write_recipe: Callable[..., Recipe],
    architecture: str,
    config: dict[str, Any],
    unused: str,
) -> None:
    model = ModelRecipe(architecture=architecture, config=config)
    network = make_network(dataclasses.replace(write_recipe(), model=model)).train()
    network(torch.randn(2, 4000)).sum().backward()
    for name, parameter in network.named_parameters():
        is_used = not (unused and name.startswith(unused))
        assert parameter.requires_grad == is_used, name
        assert (parameter.grad is not None) == is_used, name


def test_a_network_that_counts_is_trained_for_as_many_as_there_may_be(
    write_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    sizes = {"window": 32, "stride": 16, "dim": 8, "heads": 2, "hidden": 8, "cross_hidden": 8}
    config = {**sizes, "num_speakers": 2, "counts": True, "encoder_blocks": 1, "decoder_blocks": 1}
    model = ModelRecipe(architecture="srcorrnet", config=config)
    recipe = dataclasses.replace(write_recipe(), model=model)
    fresh = make_network(recipe)
    weights = fresh.state_dict()
    weights["spk_split.pres_linear.bias"].fill_(-100.0)  # finds nobody
    (tmp_path / "deaf").mkdir()
    write_model_folder(tmp_path / "deaf", recipe, config, weights, None)
    network = make_network(recipe, str(tmp_path / "deaf"))
    used = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert used == {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}
    assert "spk_split.split.fusion.0.weight" in used


def test_weights_that_stand_in_for_others_are_told(
    write_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe()
    network = make_network(recipe)
    (tmp_path / "first").mkdir()
    weights, config = network.state_dict(), recipe.model.config
    write_model_folder(tmp_path / "first", recipe, config, weights, None)
    monkeypatch.setattr(setup, "load_model", lambda entry: LoadedModel(network, entry, "using x"))
    said: list[str] = []
    make_network(recipe, str(tmp_path / "first"), said.append)
    assert said == ["using x"]


def test_places_given_replace_those_of_the_recipe(
    write_recipe: Callable[..., Recipe], speech_folder: Path, tmp_path: Path
) -> None:
    recipe = with_places(write_recipe(), train=tmp_path, noise=speech_folder, dev=None, rooms=None)
    assert recipe.data.train == str(tmp_path) and recipe.data.noise == str(speech_folder)
    assert recipe.data.dev == "speech" and recipe.data.rooms == ""


def test_what_is_not_there_is_said_before_any_speech_is_read(
    write_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = write_recipe()
    with pytest.raises(UsageError, match=r"no such place of rooms: .*nowhere") as caught:
        with_places(recipe, rooms=tmp_path / "nowhere")
    assert "--rooms" in caught.value.hint
    empty = write_recipe(train='""')
    with pytest.raises(UsageError, match=r"no speech to train on: recipe\.toml"):
        with_places(empty)


def test_what_a_recipe_asks_for_in_vain_is_listed(write_recipe: Callable[..., Recipe]) -> None:
    assert missing(write_recipe()) == []
    wanting = write_recipe(dev='""\nnoise_share = 0.5\nroom_share = 0.1')
    hints = [line.rpartition("give ")[2] for line in missing(wanting)]
    assert hints == ["--dev FOLDER", "--noise FOLDER", "--rooms FOLDER"]


def test_what_a_recipe_has_but_never_asks_for_is_listed(
    write_recipe: Callable[..., Recipe], speech_folder: Path
) -> None:
    recipe = with_places(write_recipe(), noise=speech_folder, rooms=speech_folder)
    assert missing(recipe) == [
        "noise is not heard: set data.noise_share in the recipe",
        "rooms are not heard: set data.room_share in the recipe",
    ]
    folder = speech_folder.parent / "decoded"
    material = read_material(recipe, 2, folder, note=lambda _: None, warn=lambda _: None)
    assert material.surroundings == Surroundings()  # not even read


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("dim = 1048576\nhidden = 1048576", "makes a network too large"),
        ("dim = 8\nheads = 3", "wrong configuration of"),
    ],
)
def test_a_network_that_cannot_be_is_told_before_it_takes_memory(
    write_recipe: Callable[..., Recipe], lines: str, message: str
) -> None:
    recipe = write_recipe()
    config = dict(recipe.model.config) | tomllib.loads(lines)
    model = dataclasses.replace(recipe.model, config=config)
    with pytest.raises(ModelError, match=message):
        make_network(dataclasses.replace(recipe, model=model))


@pytest.mark.parametrize(
    "lines", ['pools = ["corpus"]', "weights = { corpus0 = 0, speaker1 = 1, speaker3 = 0 }"]
)
def test_too_few_people_who_may_meet_are_told(
    write_recipe: Callable[..., Recipe], tmp_path: Path, lines: str
) -> None:
    recipe = write_recipe(dev_mixtures=f"2\n{lines}")
    material = read_material(recipe, 2, tmp_path / "decoded", note=print, warn=print)
    with pytest.raises(AudioError, match="usable speech of 1 speakers, 2 are needed"):
        batch_maker(recipe, material, 2, 0)


def test_nobody_to_draw_is_told(write_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = write_recipe(dev_mixtures="2\nweights = { corpus = 0 }")
    material = read_material(recipe, 2, tmp_path / "decoded", note=print, warn=print)
    with pytest.raises(AudioError, match="usable speech of 0 speakers, 2 are needed"):
        batch_maker(recipe, material, 2, 0)


def test_development_mixtures_are_clean_and_overlap_whatever_is_trained_on(
    write_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    trained_on = (
        "effect_share = 1.0",
        "alone_share = 0.5\npartial_share = 0.5",
        "alike_share = 1.0",
        "colour_share = 1.0",
    )
    usual = write_recipe(dev_mixtures="8")
    material = read_material(usual, 2, tmp_path / "decoded", note=print, warn=print)
    expected = dev_mixtures(usual, material, 2)
    for shares in trained_on:
        found = dev_mixtures(write_recipe(dev_mixtures=f"8\n{shares}"), material, 2)
        for one, other in zip(expected, found, strict=True):
            assert all(map(torch.equal, one, other)), shares
    for mixture, references in expected:
        assert torch.allclose(mixture, references.sum(0), atol=1e-6)
        assert bool((references.square().mean(-1) > 1e-6).all())
