import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sepcli.files import PendingFile
from sepcli.separation.segments import is_segment_name
from tests.cli.runner import CommandLine, Finished
from tests.doubles import RATE, two_voices


class Segmenting:
    def __init__(self, sepcli: CommandLine, model: Path) -> None:
        self._sepcli, self._model = sepcli, model

    def __call__(self, *arguments: object) -> Finished:
        return self._sepcli("separate", "--segments", "cut", "-m", self._model, *arguments)


@pytest.fixture
def cut(sepcli: CommandLine, model_folder: Path) -> Segmenting:
    return Segmenting(sepcli, model_folder)


def write_mixture(path: Path, seconds: float = 1.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, two_voices(seconds).sum(axis=0), RATE)
    return path


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    return write_mixture(tmp_path / "mix.wav")


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("cut/segments.jsonl").read_text().splitlines()]


def files() -> list[str]:
    return sorted(str(path) for path in Path("cut/mix").iterdir())


def test_segments_are_parts_of_the_outputs(cut: Segmenting, mixture: Path) -> None:
    done = cut(mixture, "--json")
    (record,) = map(json.loads, done.lines)
    found = rows()
    assert record["segments"] == {"folder": "cut/mix", "count": len(found)}
    assert len(found) == len(record["turns"]) > 0
    assert sorted(row["audio_filepath"] for row in found) == [
        str(Path(p).absolute()) for p in files()
    ]
    outputs = {s["name"]: soundfile.read(s["output"])[0] for s in record["speakers"]}
    for row in found:
        segment = soundfile.read(row["audio_filepath"])[0]
        start = round(row["start"] * RATE)
        assert len(segment) == round(row["duration"] * RATE)
        assert np.array_equal(segment, outputs[row["speaker"]][start : start + len(segment)])
        assert row["source_audio_filepath"] == str(mixture)
    assert done.err == ""


def test_turns_are_those_of_labels_and_json(cut: Segmenting, mixture: Path) -> None:
    (record,) = map(json.loads, cut(mixture, "--json").lines)
    turns = sorted((turn["start_seconds"], turn["speaker"]) for turn in record["turns"])
    padded = sorted((row["start"], row["speaker"]) for row in rows())
    for (turn, speaker), (start, who) in zip(turns, padded, strict=True):
        assert who == speaker
        assert turn - 0.1 - 0.005 <= start <= turn + 0.005  # as far as a record is rounded


@pytest.mark.parametrize("shards", [("2/2", "1/2"), ("1/2", "2/2")])
def test_outputs_may_lie_in_the_folder_of_the_segments_of_another_recording(
    cut: Segmenting, tmp_path: Path, shards: tuple[str, str]
) -> None:
    for name in ("a.wav", "a/b.wav"):
        write_mixture(tmp_path / "tree" / name)
    for shard in shards:
        done = cut("tree", "-r", "-o", "cut", "--shard", shard)
        assert (done.code, len(done.lines)) == (0, 2), done.err
    again = cut("tree", "-r", "-o", "cut", "--skip-existing")
    assert again.code == 0 and "2 skipped" in again.err


def test_every_segment_has_the_name_of_one(cut: Segmenting, mixture: Path) -> None:
    assert cut(mixture, "--format", "flac").code == 0
    assert files() and all(is_segment_name(Path(path).name) for path in files())


def test_nothing_is_replaced_without_being_told(cut: Segmenting, mixture: Path) -> None:
    assert cut(mixture).code == 0
    before = {path: Path(path).read_bytes() for path in [*files(), "cut/segments.jsonl"]}
    refused = cut(mixture, "-o", "elsewhere")
    assert "output is already there: cut/mix" in refused.err
    assert refused.code == 1
    assert not Path("elsewhere").exists()
    assert cut(mixture, "--skip-existing").code == 0
    partly = cut(mixture, "-o", "elsewhere", "--skip-existing")
    assert "only some of the outputs are there: cut/mix" in partly.err
    assert {path: Path(path).read_bytes() for path in before} == before


def test_overwriting_leaves_only_the_segments_of_this_run(cut: Segmenting, mixture: Path) -> None:
    cut(mixture)
    mine = Path("cut/mix/mine.wav")
    mine.write_bytes(b"mine")
    old = Path("cut/mix/spk1_0099.wav")
    old.write_bytes(b"of an earlier run that found more")
    other = {"audio_filepath": str(Path("cut/other/spk1_0001.wav").absolute())}
    gone = {"audio_filepath": str(old.absolute())}
    with Path("cut/segments.jsonl").open("a") as manifest:
        manifest.write(f"{json.dumps(other)}\n{json.dumps(gone)}\n")
    done = cut(mixture, "--overwrite", "--json")
    (record,) = map(json.loads, done.lines)
    assert (mine.read_bytes(), old.exists()) == (b"mine", False)
    assert len(files()) == record["segments"]["count"] + 1
    assert rows()[0] == other
    assert len(rows()) == record["segments"]["count"] + 1


@pytest.mark.parametrize("kind", ["dots", "link"])
def test_a_folder_of_segments_is_the_same_by_any_way(
    cut: Segmenting, mixture: Path, tmp_path: Path, kind: str
) -> None:
    cut(mixture)
    before = rows()
    (tmp_path / "link").symlink_to(tmp_path / "cut")
    way = {"dots": tmp_path / "cut/../cut", "link": tmp_path / "link"}[kind]
    assert cut(mixture, "--segments", way, "--overwrite").code == 0
    assert rows() == before


def test_a_segment_of_an_earlier_run_that_cannot_go_is_told(cut: Segmenting, mixture: Path) -> None:
    cut(mixture)
    stays = Path("cut/mix/spk1_0099.wav")
    stays.mkdir()
    gone = {"audio_filepath": str(stays.absolute())}
    with Path("cut/segments.jsonl").open("a") as manifest:
        manifest.write(f"{json.dumps(gone)}\n")
    done = cut(mixture, "--overwrite")
    assert done.code == 1
    assert "mix.wav: cannot write (is a directory)" in done.err
    assert stays.is_dir()


def test_an_input_is_never_replaced(cut: Segmenting, mixture: Path, tmp_path: Path) -> None:
    inside = write_mixture(tmp_path / "cut/mix/spk1_0001.wav")
    before = inside.read_bytes()
    done = cut(mixture, inside, "--overwrite")
    assert done.code == 1
    assert "segments would go into a folder that holds an input: cut/mix" in done.err
    assert inside.read_bytes() == before


def test_recordings_in_a_folder_that_is_called_like_one_keep_their_lines(
    cut: Segmenting, mixture: Path, tmp_path: Path
) -> None:
    write_mixture(tmp_path / "mix/other.wav")
    assert cut(tmp_path, "-r", "--shard", "2/2").lines[0] == "separated/mix/other_spk1.wav"
    others = rows()
    assert cut(tmp_path, "-r", "--shard", "1/2").code == 0
    assert cut(tmp_path, "-r", "--shard", "1/2", "--overwrite").code == 0
    assert rows()[: len(others)] == others
    assert all(Path(row["audio_filepath"]).exists() for row in rows())


def test_a_second_run_does_not_separate_segments(cut: Segmenting, tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/mix.wav")
    first = cut(tmp_path / "in", "-r", "--segments", tmp_path / "in")
    again = cut(tmp_path / "in", "-r", "--segments", tmp_path / "in", "--overwrite")
    assert first.lines == again.lines == ["separated/mix_spk1.wav", "separated/mix_spk2.wav"]


def test_parts_of_a_manifest_have_folders_of_their_own(cut: Segmenting, mixture: Path) -> None:
    parts = [{"audio_filepath": str(mixture), "offset": o, "duration": 0.7} for o in (0.0, 0.75)]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, parts)))
    assert cut("--manifest", "in.jsonl").code == 0
    folders = {Path(row["audio_filepath"]).parent.name for row in rows()}
    assert folders == {"mix_0.000-0.700", "mix_0.750-1.450"}
    for row in rows():
        assert (row["start"] >= 0.75) == ("0.750" in row["audio_filepath"])
    refused = cut("--manifest", "cut/segments.jsonl")
    assert refused.code == 2
    assert "--segments would write to the manifest that is read" in refused.err


def test_silence_has_no_segments_and_is_done(cut: Segmenting, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", np.zeros(RATE), RATE)
    assert cut("mix.wav").code == 0
    assert (files(), rows()) == ([], [])
    done = cut("mix.wav", "--skip-existing", "--json")
    assert [json.loads(line)["skipped"] for line in done.lines] == [True]


def test_what_fails_leaves_nothing(
    cut: Segmenting, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_name = PendingFile._take_name

    def fail(file: PendingFile) -> None:
        if file.path.parent.name == "mix":
            raise KeyboardInterrupt
        take_name(file)

    monkeypatch.setattr(PendingFile, "_take_name", fail)
    assert cut(mixture).code == 130
    assert not list(Path("separated").iterdir())
    assert Path("cut/segments.jsonl").read_bytes() == b""
    assert not Path("cut/mix").exists()


@pytest.mark.parametrize("options", [(), ("--labels", "rttm")])
def test_what_is_killed_between_two_names_is_not_done(
    cut: Segmenting, mixture: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    taken: list[Path] = []
    take_name = PendingFile._take_name

    def note(file: PendingFile) -> None:
        taken.append(file.path)
        take_name(file)

    monkeypatch.setattr(PendingFile, "_take_name", note)
    assert cut(mixture, "--speakers", "auto", *options).code == 0
    assert len(taken) == 3 + len(options) // 2  # a segment, two outputs
    for last in reversed(taken[1:]):
        last.unlink()
        done = cut(mixture, "--speakers", "auto", "--skip-existing", *options)
        assert "only some of the outputs are there" in done.err, last


@pytest.mark.parametrize("arguments", [("--format", "flac"), ("--layout", "channels")])
def test_they_go_with_other_choices(
    cut: Segmenting, mixture: Path, arguments: tuple[str, ...]
) -> None:
    assert cut(mixture, *arguments).code == 0
    ending = ".flac" if "flac" in arguments else ".wav"
    assert {path.suffix for path in Path("cut/mix").iterdir()} == {ending}
    assert {soundfile.info(path).channels for path in files()} == {1}


def test_room_is_asked_for_with_that_of_the_outputs(
    cut: Segmenting,
    sepcli: CommandLine,
    model_folder: Path,
    mixture: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file_bytes = 2 * round(1.5 * RATE)
    monkeypatch.setattr("sepcli.files.space._free_space", lambda folder: 3 * file_bytes)
    refused = cut(mixture)
    assert refused.code == 1
    assert "not enough space for the outputs in cut: 96.0 kB needed, 72.0 kB free" in refused.err
    assert sepcli("separate", mixture, "--model", model_folder).code == 0
