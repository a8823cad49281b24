"""`sepcli train` and `sepcli pack` as a user runs them."""

import sys
import tomllib
from pathlib import Path

import pytest
import soundfile

from tests.cli.runner import CommandLine
from tests.training.conftest import RATE, RECIPE, voice


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    for number in range(3):
        folder = tmp_path / "speech" / f"speaker{number}"
        folder.mkdir(parents=True)
        soundfile.write(folder / "1.wav", voice(number), RATE)
    return tmp_path / "speech"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


def test_trains_a_model_that_separates(sepcli: CommandLine, speech: Path, recipe: Path) -> None:
    done = sepcli("train", recipe, "-o", "model", "--device", "cpu")
    assert done.code == 0, done.err
    assert done.lines == ["model"]
    assert "s of mixtures a second" in done.err
    assert "the optimiser took" in done.err and "waiting for mixtures" in done.err
    assert "step 8" in done.err and "dev SI-SDRi" in done.err
    assert "3 speakers have one recording only" in done.err
    entry = tomllib.loads(Path("model/model.toml").read_text())
    assert "dev SI-SDRi" in entry["scores"]
    soundfile.write("mix.wav", voice(0) + voice(1), RATE)
    done = sepcli("separate", "mix.wav", "--model", "model", "--device", "cpu")
    assert done.code == 0, done.err
    assert len(done.lines) == 2


def test_slices_say_that_they_go_on(sepcli: CommandLine, speech: Path, recipe: Path) -> None:
    done = sepcli("train", recipe, "-o", "model", "-d", "cpu", "--time-limit", 0)
    assert done.code == 0, done.err
    assert "time is up" in done.err
    done = sepcli("train", recipe, "-o", "model", "-d", "cpu")
    assert done.code == 0 and "going on from step 0" in done.err
    done = sepcli("train", recipe, "-o", "model", "-d", "cpu")
    assert done.code == 0 and "going on from step 8" in done.err


def test_a_pack_is_trained_on_like_a_folder(
    sepcli: CommandLine, speech: Path, recipe: Path
) -> None:
    soundfile.write(speech / "speaker0" / "bad.wav", voice(0, 0.05), RATE)
    done = sepcli("pack", speech, "speech.pack")
    assert done.code == 0, done.err
    assert done.lines == ["speech.pack"]
    assert "skipped 1 recording, shorter than 0.2 s" in done.err
    done = sepcli(
        "train",
        recipe,
        "-o",
        "model",
        "-d",
        "cpu",
        "--train",
        "speech.pack",
        "--dev",
        "speech.pack",
    )
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.toml",), 2, "no such recipe: none.toml"),
        (("small.toml", "--train", "empty"), 1, "no recordings"),
        (("small.toml", "--train", "none"), 2, "no such place of train"),
        (("small.toml", "--from", "no-such-model"), 1, "no-such-model"),
    ],
)
def test_failures_are_one_line_and_a_hint(
    sepcli: CommandLine,
    speech: Path,
    recipe: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    Path("empty").mkdir()
    done = sepcli("train", *arguments, "-o", "made/model", "-d", "cpu")
    assert done.code == code, done.err
    assert message in done.err and "hint: " in done.err
    assert "Traceback" not in done.err and done.lines == []
    assert not Path("made").exists()


@pytest.mark.parametrize("package", ["lightning.fabric", "tensorboard", "matplotlib"])
def test_a_part_of_the_extra_that_is_missing_is_told_first(
    sepcli: CommandLine, recipe: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = sepcli("train", recipe, "-o", "model", "-d", "cpu")
    assert done.code == 1 and "training needs the extra `train`" in done.err
    assert not Path("model").exists()


def test_a_wrong_coding_is_a_usage_error(sepcli: CommandLine, speech: Path) -> None:
    done = sepcli("pack", speech, "speech.pack", "--coding", "mp3")
    assert done.code == 2 and "unknown coding: mp3" in done.err


def test_a_pack_replaces_nothing_unasked(sepcli: CommandLine, speech: Path) -> None:
    Path("speech.pack").write_text("something else")
    done = sepcli("pack", speech, "speech.pack", "--coding", "flac")
    assert done.code == 1 and "already there" in done.err and "--overwrite" in done.err
    assert Path("speech.pack").read_text() == "something else"
    assert sepcli("pack", speech, "speech.pack", "--coding", "flac", "--overwrite").code == 0


def test_a_pack_that_cannot_be_made_is_told(sepcli: CommandLine, speech: Path) -> None:
    done = sepcli("pack", speech, "absent/speech.pack", "--coding", "flac")
    assert done.code == 1
    assert done.err.startswith("error: no such folder: absent\nhint: make it first")


def test_a_pack_replaces_no_recording_that_goes_into_it(sepcli: CommandLine, speech: Path) -> None:
    recording = next(path for path in sorted(speech.rglob("*")) if path.is_file())
    before = recording.read_bytes()
    done = sepcli("pack", speech, recording, "--coding", "flac", "--overwrite")
    assert done.code == 1 and f"output would replace an input: {recording}" in done.err
    assert recording.read_bytes() == before


def test_a_refused_device_leaves_no_folder_but_those_that_were_there(
    sepcli: CommandLine, speech: Path, recipe: Path
) -> None:
    Path("mine").mkdir()
    for folder in ("mine", "mine/model"):
        done = sepcli("train", recipe, "-o", folder, "-d", "gpu0")
        assert done.code == 1 and "no such device: gpu0" in done.err
    assert [*Path("mine").iterdir()] == []


def test_an_output_folder_that_cannot_be_made_is_told(
    sepcli: CommandLine, speech: Path, recipe: Path
) -> None:
    Path("file").touch()
    done = sepcli("train", recipe, "-o", "file/model", "-d", "cpu")
    assert done.code == 1
    assert done.err.splitlines()[-2:] == [
        "error: cannot write (not a directory): file/model",
        "hint: a file has the name of that folder; choose another folder",
    ]


@pytest.mark.parametrize("name", ["model.toml", "model.safetensors", "log.csv", "curve.png"])
def test_a_file_that_no_run_made_is_not_replaced(
    sepcli: CommandLine, speech: Path, recipe: Path, name: str
) -> None:
    Path("mine").mkdir()
    Path("mine", name).write_text("mine")
    done = sepcli("train", recipe, "-o", "mine", "-d", "cpu")
    assert done.code == 1
    assert done.err.splitlines()[-2:] == [
        f"error: a file is there that no run in this folder has made: mine/{name}",
        "hint: choose another --output-dir; to go on from weights that lie there, --from mine",
    ]
    assert Path("mine", name).read_text() == "mine"
