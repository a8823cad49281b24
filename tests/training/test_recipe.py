"""Recipes: what is read, and which line a wrong one gives."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sepcli.errors import UsageError
from sepcli.models.architectures import make_config
from sepcli.training.recipe import RECIPES, Recipe, find_recipe, read_recipe

from .conftest import RECIPE

SHIPPED = sorted(RECIPES.glob("*.toml"))


def test_values_and_defaults_are_read(write_recipe: Callable[..., Recipe]) -> None:
    recipe = write_recipe(rate="1")
    assert recipe.optimiser.rate == 1.0 and isinstance(recipe.optimiser.rate, float)
    assert recipe.data.speeds == (0.9, 1.0)
    assert recipe.data.noise_db == (0.0, 20.0)
    assert recipe.model.config["dim"] == 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[run]", "[runn]", "unknown table of recipe.toml: runn"),
        ("rate = 0.01", "rat = 0.01", r"unknown key in \[optimiser\] of recipe.toml: rat"),
        (
            "rate = 0.01",
            'rate = "1"',
            r"in \[optimiser\] of recipe.toml: rate must be a number, is '1'",
        ),
        ("rate = 0.01", "rate = true", "rate must be a number, is True"),
        ("rate = 0.01", "rate = -1", "makes no sense: optimiser.rate = -1.0"),
        ('architecture = "stftformer"', "", r"missing key in \[model\] of recipe.toml: arch"),
        ("steps = 8", "steps = 0", "makes no sense: run.steps = 0"),
        ("[model.config]", "chunk_seconds = 2\n[model.config]", "model.chunk_seconds = 2.0"),
        ("steps = 8", "seed = -1", "makes no sense: run.seed = -1"),
        ("dev_mixtures = 2", "dev_mixtures = 0", "makes no sense: data.dev_mixtures = 0"),
        ("dev_mixtures = 2", "dev_seed = -1", "makes no sense: data.dev_seed = -1"),
        ("rate = 0.01", "weight_decay = -0.1", "makes no sense: optimiser.weight_decay = -0.1"),
        ("rate = 0.01", "clip = -5", "makes no sense: optimiser.clip = -5.0"),
        ("[optimiser]", "weights = { a = -1 }\n[optimiser]", "makes no sense: data.weights"),
        ("steps = 8", 'precision = "fp8"', "precision must be one of .*, is 'fp8'"),
        ("speeds = [0.9, 1.0]", "speeds = [9.0]", "makes no sense: data.speeds"),
        ("dev_seconds = [0.1, 0.2]", "dev_seconds = [0.1]", "dev_seconds must have 2 items, has 1"),
        ("dev_seconds = [0.1, 0.2]", "dev_seconds = [2, 1]", "makes no sense: data.dev_seconds"),
        ("[run]", "[run", "cannot read the recipe"),
    ],
)
def test_wrong_recipes_give_one_clear_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.replace(old, new))
    with pytest.raises(UsageError, match=message) as caught:
        read_recipe(path)
    assert "\n" not in caught.value.message


def test_a_recipe_is_found_by_name_or_path(tmp_path: Path) -> None:
    assert find_recipe("galr") == RECIPES / "galr.toml"
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE)
    assert find_recipe(str(file)) == file
    with pytest.raises(UsageError, match="no such recipe: gallr") as caught:
        find_recipe("gallr")
    assert "galr" in caught.value.hint


def test_a_missing_recipe_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the recipe"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_fit_their_networks(path: Path) -> None:
    recipe = read_recipe(path)
    config = make_config(recipe.model.architecture, recipe.model.config, where=path.name)
    assert config.num_speakers == 2
    assert recipe.model.license
