import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepcli.cli import loading, report
from tests.cli.runner import CommandLine
from tests.doubles import RATE, Identity, two_voices


def write_mixture(path: Path, seconds: float = 1.5, seed: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, two_voices(seconds, seed, rate).sum(axis=0), rate)
    return path


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    return write_mixture(tmp_path / "mix.wav")


def test_one_file_per_speaker_and_their_paths_on_stdout(
    sepcli: CommandLine, model_folder: Path, mixture: Path
) -> None:
    done = sepcli("separate", mixture, "--model", model_folder)
    assert done.code == 0, done.err
    assert done.lines == ["separated/mix_spk1.wav", "separated/mix_spk2.wav"]
    assert done.err == ""
    for path in done.lines:
        assert soundfile.info(path).frames == soundfile.info(str(mixture)).frames


def test_a_folder_with_a_broken_file_does_the_others(
    sepcli: CommandLine, model_folder: Path, tmp_path: Path
) -> None:
    for number in range(50):
        write_mixture(tmp_path / f"in/{number:02}.wav", 0.2, number)
    (tmp_path / "in/31.wav").write_bytes(b"nothing one could hear")
    done = sepcli("separate", tmp_path / "in", "--model", model_folder, "-o", "out")
    assert done.code == 1
    assert len(done.lines) == 49 * 2
    assert len(list((tmp_path / "out").iterdir())) == 49 * 2
    errors = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "31.wav" in errors[0]
    said = done.err.splitlines()
    assert said[0] == "separating 50 recordings"
    assert said[-1].startswith("49 done, 0 skipped, 1 failed: 0.00 hours of audio, ")


def test_a_name_that_is_no_text_is_told_once(
    sepcli: CommandLine, model_folder: Path, tmp_path: Path
) -> None:
    broken = os.path.join(os.fsencode(tmp_path), b"a\xff\n.wav")  # noqa: PTH118 (bytes)
    Path(os.fsdecode(broken)).write_bytes(b"nothing one could hear")
    done = sepcli("separate", os.fsdecode(broken), "--model", model_folder)
    assert done.code == 1
    assert done.err.startswith("error: not a recording that can be read: ") or (
        done.err.startswith("error: not a format that can be read here: ")
    )
    assert done.err.splitlines()[0].endswith("a\\xff\\n.wav")
    assert len(done.err.splitlines()) == 2


def test_json_has_one_object_a_recording(
    sepcli: CommandLine, model_folder: Path, mixture: Path
) -> None:
    done = sepcli("separate", mixture, "missing.wav", "--model", model_folder, "--json")
    records = [json.loads(line) for line in done.lines]
    failed, good = sorted(records, key=lambda record: "error" not in record)
    assert failed["input"] == "missing.wav"
    assert failed["hint"]
    assert good["outputs"] == ["separated/mix_spk1.wav", "separated/mix_spk2.wav"]
    assert good["seconds"] == pytest.approx(1.5)
    assert good["sample_rate"] == RATE
    assert done.code == 1


def test_standard_input(
    sepcli: CommandLine, model_folder: Path, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mixture.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": stream})())
        done = sepcli("separate", "-", "--model", model_folder)
    assert done.lines == ["separated/stdin_spk1.wav", "separated/stdin_spk2.wav"], done.err


@pytest.mark.parametrize(
    "name,subtype,expected",
    [("wav", "FLOAT", "FLOAT"), ("flac", "PCM_24", "PCM_24"), ("ogg", "", "VORBIS")],
)
def test_formats(
    sepcli: CommandLine, model_folder: Path, mixture: Path, name: str, subtype: str, expected: str
) -> None:
    options = ["--subtype", subtype] if subtype else []
    done = sepcli("separate", mixture, "--model", model_folder, "--format", name, *options)
    assert done.code == 0, done.err
    assert soundfile.info(done.lines[0]).subtype == expected


def test_names_and_rates(sepcli: CommandLine, model_folder: Path, mixture: Path) -> None:
    done = sepcli(
        *("separate", mixture, "--model", model_folder, "--sample-rate", "16000"),
        *("--name", "{speaker}-{stem}-{model}", "--start", "0:00.5"),
    )
    assert done.lines == ["separated/1-mix-tiny.wav", "separated/2-mix-tiny.wav"]
    assert (soundfile.info(done.lines[0]).frames, soundfile.info(done.lines[0]).samplerate) == (
        16000,
        16000,
    )


@pytest.mark.parametrize("name", [".", "../tiny"])
def test_a_model_folder_has_a_name_however_it_is_called(
    sepcli: CommandLine,
    model_folder: Path,
    mixture: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixture = mixture.absolute()
    monkeypatch.chdir(model_folder)
    done = sepcli("separate", mixture, "-m", name, "--name", "{model}-{speaker}", "-o", "out")
    assert done.lines == ["out/tiny-1.wav", "out/tiny-2.wav"]


def test_skip_existing_and_overwrite(
    sepcli: CommandLine, model_folder: Path, mixture: Path
) -> None:
    options = ["separate", mixture, "--model", model_folder]
    sepcli(*options)
    kept = sepcli(*options)
    assert (kept.code, kept.out) == (1, "")
    assert "already there" in kept.err
    assert "--overwrite" in kept.err
    skipped = sepcli(*options, "--skip-existing")
    assert (skipped.code, skipped.out) == (0, "")
    assert sepcli(*options, "--overwrite").code == 0


def test_shards_share_the_work(sepcli: CommandLine, model_folder: Path, tmp_path: Path) -> None:
    for number in range(5):
        write_mixture(tmp_path / f"in/{number}.wav", 0.2)
    runs = [
        sepcli("separate", tmp_path / "in", "--model", model_folder, "--shard", f"{n}/2")
        for n in (1, 2)
    ]
    assert [len(run.lines) for run in runs] == [6, 4]
    assert len({line for run in runs for line in run.lines}) == 10


def test_the_log_of_a_shard_says_what_it_did(
    sepcli: CommandLine, model_folder: Path, tmp_path: Path
) -> None:
    for number in range(5):
        write_mixture(tmp_path / f"in/{number}.wav", 0.2)
    (tmp_path / "in/4.wav").write_bytes(b"nothing one could hear")
    options = ("separate", "in", "--model", model_folder, "--skip-existing")
    sepcli(*options, "--shard", "1/5")
    logs = [sepcli(*options, "--shard", shard).err.splitlines() for shard in ("1/2", "6/6")]
    assert logs[0][0] == "shard 1/2: 3 of 5 recordings"
    assert logs[0][-1].startswith("1 done, 1 skipped, 1 failed: ")
    assert logs[1] == ["shard 6/6: 0 of 5 recordings"]


def test_mixing_down_is_said_once(sepcli: CommandLine, model_folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"in/{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, two_voices(0.3).T, RATE)
    done = sepcli("separate", tmp_path / "in", "--model", model_folder)
    assert done.err.count("mixed down") == 1
    assert sepcli("separate", "in", "--model", model_folder, "--overwrite", "-q").err == ""


@pytest.mark.parametrize(
    "options",
    [
        ["--skip-existing", "--overwrite"],
        ["--shard", "3/2"],
        ["--name", "{stem}"],
        ["--sample-rate", "loud"],
        ["--sample-rate", "999"],
        ["--start", "soon"],
        ["--start", "2", "--end", "1"],
        ["--subtype", "PCM_99"],
        ["--format", "flac", "--subtype", "FLOAT"],
        ["--chunk", "1", "--overlap", "1"],
    ],
)
def test_usage_errors_cost_nothing(
    sepcli: CommandLine, model_folder: Path, mixture: Path, options: list[str]
) -> None:
    done = sepcli("separate", mixture, "--model", model_folder, *options)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "\nhint: " in done.err
    assert not Path("separated").exists()


def test_unknown_things_have_hints(
    sepcli: CommandLine, mixture: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = sepcli("separate", mixture, "--model", "sgpm")
    assert unknown.code == 1
    assert "spgm" in unknown.err
    assert "Traceback" not in unknown.err
    monkeypatch.setattr(torch.version, "cuda", None)
    device = sepcli("separate", mixture, "--model", model_folder, "--device", "cuda")
    assert device.code == 1
    assert "without CUDA" in device.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_folder(
    sepcli: CommandLine, model_folder: Path, mixture: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = sepcli("separate", mixture, "--model", model_folder, "-o", "locked/out")
    assert done.code == 1
    assert "cannot write" in done.err


def test_an_output_folder_that_is_a_file(
    sepcli: CommandLine, model_folder: Path, mixture: Path
) -> None:
    done = sepcli("separate", mixture, "--model", model_folder, "-o", mixture)
    assert done.code == 1
    assert "cannot write" in done.err
    assert "choose another folder" in done.err


def test_interruption_ends_with_130_and_leaves_nothing(
    sepcli: CommandLine, model_folder: Path, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), 2)

    monkeypatch.setattr(Identity, "forward", interrupt)
    monkeypatch.setattr(loading, "load_model", lambda entry, **_: type("L", (), _loaded(entry))())
    done = sepcli("separate", mixture, "--model", model_folder)
    assert done.code == 130
    assert done.err == "interrupted: finished outputs are kept\n"
    assert list(Path("separated").iterdir()) == []


def _loaded(entry: object) -> dict[str, object]:
    return {"network": Identity(), "entry": entry, "note": ""}


def test_any_tone_of_verbosity_gives_the_same_results(
    sepcli: CommandLine, model_folder: Path, mixture: Path
) -> None:
    quiet = sepcli("separate", mixture, "--model", model_folder, "-q")
    first = [Path(path).read_bytes() for path in quiet.lines]
    loud = sepcli("separate", mixture, "--model", model_folder, "-v", "--overwrite")
    assert loud.lines == quiet.lines
    assert [Path(path).read_bytes() for path in loud.lines] == first


def test_clock() -> None:
    assert [report.clock(s) for s in (0, 61.9, 3723.5)] == ["0:00", "1:01", "1:02:03"]


def test_quiet_recordings_are_told(sepcli: CommandLine, model_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    done = sepcli("separate", "silence.wav", "--model", model_folder)
    assert done.code == 0
    assert "silent" in done.err
    assert not soundfile.read(done.lines[0])[0].any()


def test_an_unknown_model_of_the_settings_says_where_it_is_from(
    sepcli: CommandLine, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPCLI_MODEL", "no-such-model")
    done = sepcli("separate", mixture)
    assert done.code == 1
    assert "error: SEPCLI_MODEL or config.toml: unknown model: no-such-model" in done.err
    named = sepcli("separate", mixture, "--model", "nor-this")
    assert "error: unknown model: nor-this" in named.err


def test_channels_as_they_are_need_no_model(
    sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEPCLI_MODEL", "no-such-model")
    soundfile.write("call.wav", two_voices(1.0).T, RATE)
    done = sepcli("separate", "call.wav", "--channels", "-o", "apart")
    assert done.code == 0, done.err
    assert len(done.lines) == 2


def test_channels_of_a_call_are_told_and_kept_on_request(
    sepcli: CommandLine, model_folder: Path
) -> None:
    turns = np.repeat([[1, 0], [0, 1]] * 3, 2 * RATE, axis=0)
    call = two_voices(12.0).T * turns
    soundfile.write("call.wav", call, RATE)
    told = sepcli("separate", "call.wav", "--model", model_folder)
    assert "each channel holds a speaker of its own, --channels keeps them as they are" in told.err
    done = sepcli("separate", "call.wav", "--channels", "-o", "apart", "--json")
    assert (done.code, done.err) == (0, "")
    (record,) = map(json.loads, done.lines)
    assert record["model"] is None
    assert (record["seconds"], record["notes"]) == (12.0, [])
    for channel, output in enumerate(record["outputs"]):
        np.testing.assert_allclose(soundfile.read(output)[0], call[:, channel], atol=2**-15)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--model", "spgm"), "--model"),
        (("--labels", "rttm", "--speakers", "2"), "--speakers, --labels"),
        (("--voices", "builtin"), "--voices"),
        (
            ("--outside-overlap", "original", "--bandwidth", "full"),
            "--outside-overlap, --bandwidth",
        ),
        (("-d", "cpu", "--resume"), "--device, --resume"),
    ],
)
def test_channels_take_no_option_of_a_network(
    sepcli: CommandLine, mixture: Path, options: tuple[str, ...], named: str
) -> None:
    done = sepcli("separate", mixture, "--channels", *options)
    assert done.code == 2
    assert done.err.splitlines()[0] == f"error: --channels uses no network and takes no: {named}"


def test_channels_have_no_rate_of_a_model(sepcli: CommandLine, mixture: Path) -> None:
    done = sepcli("separate", mixture, "--channels", "--sample-rate", "model")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: --channels takes no model")


def write_manifest(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_manifest_in_and_a_row_a_speaker_out_by_shards_and_again(
    sepcli: CommandLine, model_folder: Path, tmp_path: Path
) -> None:
    write_mixture(tmp_path / "in/a.wav", 1.5)
    manifest = write_manifest(
        tmp_path / "in/in.jsonl",
        {"audio_filepath": "a.wav", "text": "both"},
        {"audio_filepath": "a.wav", "offset": 0.5, "duration": 0.75, "text": "part"},
    )
    options = ("--manifest", manifest, "--model", model_folder, "--json", "-o", "out")
    shards = [sepcli("separate", *options, "--shard", f"{n}/2") for n in (1, 2)]
    assert [done.code for done in shards] == [0, 0], shards
    rows = [json.loads(line) for done in shards for line in done.lines]
    assert [(row["text"], row["speaker"], row["duration"]) for row in rows] == [
        ("both", "spk1", 1.5),
        ("both", "spk2", 1.5),
        ("part", "spk1", 0.75),
        ("part", "spk2", 0.75),
    ]
    for row in rows:
        info = soundfile.info(row["audio_filepath"])
        assert (info.duration, info.samplerate) == (row["duration"], row["sample_rate"])
        assert row["source_audio_filepath"] == "a.wav"
    again = sepcli("separate", *options, "--skip-existing")
    kept = [json.loads(line) for line in again.lines]
    assert kept == [row | {"margins": None} for row in rows]


def test_a_wrong_line_of_a_manifest_fails_alone_and_leaves_no_row(
    sepcli: CommandLine, model_folder: Path, mixture: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(
        tmp_path / "in.jsonl",
        {"path": "a.wav"},
        {"audio_filepath": "none.wav"},
        {"audio_filepath": "mix.wav"},
    )
    done = sepcli("separate", "--manifest", manifest, "--model", model_folder, "--json")
    assert done.code == 1
    assert [json.loads(line)["speaker"] for line in done.lines] == ["spk1", "spk2"]
    assert f"error: line 1 of {manifest}: no audio_filepath\nhint: " in done.err
    assert "1 done, 0 skipped, 2 failed" in done.err


@pytest.mark.parametrize("line", ['{"audio_filepath": "mix.wav"}', "{}", ""])
def test_a_manifest_on_standard_input(
    sepcli: CommandLine,
    model_folder: Path,
    mixture: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
) -> None:
    stdin = type("Stdin", (), {"buffer": io.BytesIO(line.encode())})()
    monkeypatch.setattr(sys, "stdin", stdin)
    done = sepcli("separate", "--manifest", "-", "--model", model_folder, "--overwrite")
    if "wav" in line:
        assert done.lines == ["separated/mix_spk1.wav", "separated/mix_spk2.wav"], done.err
    elif line:
        assert "error: line 1 of standard input: no audio_filepath" in done.err
    else:
        assert done.err.startswith("error: manifest is empty: standard input")


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_manifest_is_not_waited_for_where_nothing_comes_in(
    sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    stdin = None if is_closed else type("Stdin", (), {"buffer": terminal})()
    monkeypatch.setattr(sys, "stdin", stdin)
    done = sepcli("separate", "--manifest", "-")
    assert done.err.startswith("error: nothing comes in on standard input\nhint: ")
    assert done.code == 2


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("mix.wav",), "--manifest and INPUT exclude each other"),
        (("--start", "1"), "--manifest and --start or --end exclude each other"),
        (("--labels", "rttm"), "--manifest and --labels exclude each other"),
        ((), "manifest is empty: in.jsonl"),
    ],
)
def test_a_manifest_stands_alone_and_says_something(
    sepcli: CommandLine, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_manifest(tmp_path / "in.jsonl")
    done = sepcli("separate", "--manifest", "in.jsonl", *arguments)
    assert (done.code, done.err.splitlines()[0]) == (2, f"error: {message}")


def test_labels_say_who_speaks_when(sepcli: CommandLine, model_folder: Path, mixture: Path) -> None:
    options = ["separate", mixture, "--model", model_folder, "--labels", "rttm"]
    done = sepcli(*options, "--labels", "audacity", "--json")
    assert done.code == 0, done.err
    turns = json.loads(done.lines[0])["turns"]
    lines = Path("separated/mix.rttm").read_text().splitlines()
    assert [line.split()[7] for line in lines] == [turn["speaker"] for turn in turns]
    assert len(Path("separated/mix.txt").read_text().splitlines()) == len(turns)
    assert sepcli(*options).code == 1  # they are there, and stay
