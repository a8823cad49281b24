import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.runner import CommandLine, Finished
from tests.doubles import RATE, two_voices


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "mix.wav", two_voices(1.5).sum(axis=0), RATE)
    return tmp_path / "mix.wav"


class InChannels:
    def __init__(self, sepcli: CommandLine, model: Path) -> None:
        self._sepcli, self._model = sepcli, model

    def __call__(self, *arguments: object) -> Finished:
        return self._sepcli("separate", "--layout", "channels", "-m", self._model, *arguments)


@pytest.fixture
def in_channels(sepcli: CommandLine, model_folder: Path) -> InChannels:
    return InChannels(sepcli, model_folder)


def test_a_channel_holds_what_a_file_would(
    sepcli: CommandLine, in_channels: InChannels, model_folder: Path, mixture: Path
) -> None:
    done = in_channels(mixture)
    assert (done.code, done.lines, done.err) == (0, ["separated/mix_speakers.wav"], "")
    files = sepcli("separate", mixture, "--model", model_folder).lines
    one, rate = soundfile.read(done.lines[0])
    assert rate == RATE
    assert np.array_equal(one.T, [soundfile.read(path)[0] for path in files])


def test_what_is_known_of_channels(in_channels: InChannels, mixture: Path) -> None:
    done = in_channels(mixture, "--json", "--labels", "rttm")
    (record,) = map(json.loads, done.lines)
    assert record["outputs"] == ["separated/mix_speakers.wav"]
    assert [(s["name"], s["output"], s["channel"]) for s in record["speakers"]] == [
        ("spk1", "separated/mix_speakers.wav", 0),
        ("spk2", "separated/mix_speakers.wav", 1),
    ]
    assert Path("separated/mix.rttm").is_file()


def test_the_input_is_never_in_the_way(in_channels: InChannels, mixture: Path) -> None:
    before = mixture.read_bytes()
    first = in_channels(mixture.parent, "-o", mixture.parent)
    assert first.lines == [str(mixture.with_name("mix_speakers.wav"))], first.err
    again = in_channels(mixture.parent, "-o", mixture.parent, "--overwrite", "-r")
    assert again.lines == first.lines, again.err
    refused = in_channels(mixture, "-o", mixture.parent, "--name", "{stem}", "--overwrite")
    assert refused.code == 1
    assert refused.err.startswith("error: output would replace an input:")
    assert mixture.read_bytes() == before


def test_runs_go_on_as_with_files(in_channels: InChannels, mixture: Path) -> None:
    written = in_channels(mixture, "--resume").lines
    assert written == ["separated/mix_speakers.wav"]
    kept = in_channels(mixture)
    assert kept.code == 1
    assert "output is already there: separated/mix_speakers.wav" in kept.err
    skipped = in_channels(mixture, "--skip-existing", "--json")
    assert [json.loads(line)["skipped"] for line in skipped.lines] == [True]
    assert in_channels(mixture, "--overwrite").lines == written


def test_rows_of_a_manifest_name_channels(in_channels: InChannels, mixture: Path) -> None:
    Path("in.jsonl").write_text(json.dumps({"audio_filepath": str(mixture), "channel": "left"}))
    first = in_channels("--manifest", "in.jsonl", "--json")
    again = in_channels("--manifest", "in.jsonl", "--json", "--skip-existing")
    for done in (first, again):
        rows = [json.loads(line) for line in done.lines]
        assert [(row["speaker"], row["channel"]) for row in rows] == [("spk1", 0), ("spk2", 1)]
        assert {Path(row["audio_filepath"]).name for row in rows} == {"mix_speakers.wav"}
        assert {row["source_channel"] for row in rows} == {"left"}


def test_counted_people_share_a_file(in_channels: InChannels, mixture: Path) -> None:
    done = in_channels(mixture, "--speakers", "auto", "--format", "flac", "--json")
    (record,) = map(json.loads, done.lines)
    info = soundfile.info(record["outputs"][0])
    assert info.channels == len(record["speakers"]) >= 1


@pytest.mark.parametrize(
    "arguments,says",
    [
        (("--format", "mp3", "--speakers", "3"), "mp3 cannot hold this many channels: 3"),
        (("--format", "mp3", "--speakers", "auto"), "mp3 cannot hold this many channels: 8"),
        (("--name", "{stem}_{speaker}"), "name template has a {speaker}, and --layout channels"),
        (("--channels",), "--channels uses no network and takes no:"),
    ],
)
def test_what_cannot_be_is_refused(
    in_channels: InChannels, mixture: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = in_channels(mixture, *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {says}")
    assert not Path("separated").exists()


def test_two_channels_fit_into_an_mp3(in_channels: InChannels, mixture: Path) -> None:
    done = in_channels(mixture, "--format", "mp3")
    with soundfile.SoundFile(done.lines[0]) as sound:
        assert (sound.channels, sound.comment) == (2, "channels: spk1, spk2")
