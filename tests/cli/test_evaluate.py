import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.cli import loading
from sepcli.separation.separator import Separator
from tests.cli.runner import CommandLine
from tests.doubles import RATE, BandSplit, entry, two_voices


def write(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE, subtype="FLOAT")


@pytest.fixture
def test_set(tmp_path: Path) -> Path:
    """Return a set of three recordings, with estimates that are wrong by a known amount."""
    for number in range(3):
        references = two_voices(1.0, seed=number)
        references -= references.mean(1, keepdims=True)
        write(tmp_path / f"set/mix/{number}.wav", references.sum(0))
        for speaker, (reference, other) in enumerate(
            zip(references, references[::-1], strict=True)
        ):
            write(tmp_path / f"set/s{speaker + 1}/{number}.wav", reference)
            write(tmp_path / f"guess/{number}_spk{2 - speaker}.wav", reference + 0.1 * other)
    return tmp_path / "set"


def test_scores_estimates_in_their_best_order(sepcli: CommandLine, test_set: Path) -> None:
    done = sepcli("evaluate", test_set, "--estimates", "guess", "--json", "--csv", "scores.csv")
    assert done.code == 0, done.err
    *records, summary = map(json.loads, done.lines)
    assert [record["name"] for record in records] == ["0", "1", "2"]
    assert all(record["order"] == [1, 0] for record in records)
    # the two voices have equal power and share no frequency: 0.1 of the other is 20 dB below
    assert summary["summary"]["si_sdr"]["mean"] == pytest.approx(20.0, abs=0.2)
    assert summary["summary"]["si_sdri"]["mean"] == pytest.approx(20.0, abs=0.2)
    assert summary["recordings"] == 3 and summary["failures"] == {}
    with Path("scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["reference"], row["estimate"]) for row in rows[:2]] == [
        ("0", "1", "2"),
        ("0", "2", "1"),
    ]
    assert float(rows[0]["si_sdr"]) == pytest.approx(records[0]["si_sdr"][0], rel=1e-5)


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_nothing_is_replaced_unasked_and_no_input_ever(
    sepcli: CommandLine, test_set: Path, option: str
) -> None:
    ending = {"--csv": ".csv", "--plot": ".svg"}[option]
    command = ("evaluate", test_set, "--estimates", "guess", option)
    there = Path(f"there{ending}")
    there.write_text("mine")
    done = sepcli(*command, there)
    assert done.code == 1 and f"output is already there: {there}" in done.err
    assert there.read_text() == "mine"
    assert sepcli(*command, there, "--overwrite").code == 0
    assert there.read_text() != "mine"
    if option == "--csv":
        for path in (test_set / "s1/0.wav", Path("guess/0_spk1.wav")):
            before = path.read_bytes()
            done = sepcli(*command, path, "--overwrite")
            assert done.code == 1 and f"output would replace an input: {path}" in done.err
            assert path.read_bytes() == before
        taken, model = test_set / "s1/0.wav", ("--model", "no-such-model")
        done = sepcli("evaluate", test_set, *model, option, taken, "--overwrite")
        assert "output would replace an input" in done.err  # told before any model is fetched


@pytest.mark.parametrize("name", ["set/mix/1", "set/s2/1", "guess/1_spk2"])
def test_of_two_files_of_one_name_none_is_scored(
    sepcli: CommandLine, test_set: Path, name: str
) -> None:
    write(Path(f"{name}.aiff"), two_voices(1.0, seed=7)[0])
    done = sepcli("evaluate", test_set, "--estimates", "guess", "--json")
    *records, summary = map(json.loads, done.lines)
    assert (done.code, summary["recordings"]) == (1, 2)
    both = " and ".join(str(test_set.parent / f"{name}{end}") for end in (".aiff", ".wav"))
    both = both.replace(f"{test_set.parent}/guess", "guess")
    assert [record.get("error") for record in records] == [
        None,
        f"two files of one name: {both}",
        None,
    ]
    assert f"error: 1: two files of one name: {both}" in done.err


def test_scores_a_model(
    sepcli: CommandLine, test_set: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perfect(*_arguments: object, **_options: object) -> Separator:
        return Separator(BandSplit(), entry())

    monkeypatch.setattr(loading, "load_separator", perfect)
    done = sepcli("evaluate", test_set, "--model", model_folder, "--limit", 2, "--plot", "p.png")
    assert done.code == 0, done.err
    _, si_sdr, improvement = done.lines
    assert improvement.startswith("SI-SDRi (dB)") and "±" in improvement
    assert float(si_sdr.split()[2]) > 30  # the bands hold all of each voice
    assert si_sdr.split()[-1] == "2"
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert f"mixtures: {test_set / 'mix'}" in done.err


def test_a_real_network_runs_through(
    sepcli: CommandLine, test_set: Path, model_folder: Path
) -> None:
    done = sepcli("evaluate", test_set, "--model", model_folder, "--limit", 1, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.lines[0])["elapsed_seconds"] > 0


def test_nothing_is_dropped_in_silence(sepcli: CommandLine, test_set: Path) -> None:
    write(test_set / "s2/1.wav", np.zeros(RATE))
    (test_set / "s1/2.wav").unlink()
    write(test_set / "mix/3.wav", np.ones(100))
    done = sepcli("evaluate", test_set, "--estimates", "guess", "--json")
    assert done.code == 1
    *records, summary = map(json.loads, done.lines)
    assert [record["name"] for record in records] == ["0", "1", "2", "3"]
    assert "error" in records[2] and "error" in records[3]
    assert records[1]["si_sdr"][1] is None
    assert summary["recordings"] == 2
    assert sum(summary["failures"].values()) == 2
    assert summary["remarks"] == {"a silent reference, not in the means": 1}
    assert "2 of 4 recordings not scored" in done.err


def test_lengths_that_differ_are_said(sepcli: CommandLine, test_set: Path) -> None:
    waveform, _ = soundfile.read("guess/0_spk1.wav")
    write(Path("guess/0_spk1.wav"), waveform[:-40])
    done = sepcli("evaluate", test_set, "--estimates", "guess")
    assert done.code == 0
    assert "1 recording with lengths differ, cut to the shortest" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --model or --estimates"),
        (("--estimates", "guess", "--model", "spgm"), "give either --model or --estimates"),
        (("--estimates", "guess", "--metric", "loudness"), "unknown metric: loudness"),
        (("--estimates", "guess", "--mixtures", "mix_both"), "no such folder"),
        (
            ("--estimates", "guess", "--shifts", "1", "-d", "cpu"),
            "--estimates uses no network and takes no: --device, --shifts",
        ),
    ],
)
def test_usage_errors(
    sepcli: CommandLine, test_set: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = sepcli("evaluate", test_set, *arguments)
    assert done.code == 2 and message in done.err
    assert done.lines == []
