import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sepcli.training import mixtures
from tests.cli.runner import CommandLine
from tests.files.processes import leave_temporary

RATE = 8000


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Return a folder of three speakers, one a level deeper, in three formats."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("ann/1.wav", "ann/2.flac", "bob/1.ogg", "more/cy/1.wav")):
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.standard_normal(RATE + 500 * number), RATE)
    return tmp_path / "speech"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


OPTIONS = ("-n", 3, "--min-seconds", 1, "--max-seconds", 4)


def test_writes_a_set_in_the_layout_of_librimix(sepcli: CommandLine, speech: Path) -> None:
    done = sepcli("mix", speech, "-o", "set", *OPTIONS)
    assert done.code == 0, done.err
    assert done.lines == ["set/manifest.csv"]
    for row in rows(Path("set")):
        mixture, one, two = (
            soundfile.read(Path("set") / row[track], dtype="int16")[0].astype(int)
            for track in ("mix_clean", "s1", "s2")
        )
        assert len(mixture) / RATE == pytest.approx(float(row["seconds"]), abs=1e-3)
        assert np.abs(mixture - one - two).max() <= 1  # each is rounded to 16 bits on its own
        assert row["speakers"].count("|") == 1
    assert not Path("set/noise").exists()


def test_the_same_seed_gives_the_same_bytes(sepcli: CommandLine, speech: Path) -> None:
    noise = ("--noise", speech / "bob")
    for folder, seed in (("a", 4), ("b", 4), ("c", 5)):
        assert sepcli("mix", speech, "-o", folder, *OPTIONS, *noise, "--seed", seed).code == 0
    first, same, other = (content(Path(folder)) for folder in "abc")
    assert first == same
    assert set(first) == set(other) and first != other
    assert {Path(name).parts[0] for name in first} == {
        "manifest.csv", "turns.rttm", "mix_clean", "mix_both", "noise", "s1", "s2",
    }  # fmt: skip


def test_takes_a_manifest_and_conversations(sepcli: CommandLine, speech: Path) -> None:
    lines = ["path,speaker,split", "ann/1.wav,ann,dev", "bob/1.ogg,bob,dev", "no.wav,eve,train"]
    (speech / "all.csv").write_text("\n".join(lines) + "\n")
    arguments = ("--split", "dev", "--style", "conversation", "--overlap-ratio", "0.1")
    done = sepcli("mix", speech / "all.csv", "-o", "set", *OPTIONS, *arguments)
    assert done.code == 0, done.err
    assert {row["seconds"] for row in rows(Path("set"))} == {"4.000"}
    assert all(set(row["speakers"].split("|")) == {"ann", "bob"} for row in rows(Path("set")))


def test_turns_say_who_speaks_when(sepcli: CommandLine, speech: Path) -> None:
    arguments = ("--style", "conversation", "--speakers", 3, "--max-seconds", 12)
    arguments += ("--pause-seconds", 3)
    assert sepcli("mix", speech, "-o", "set", "-n", 1, *arguments).code == 0
    turns = [line.split() for line in Path("set/turns.rttm").read_text().splitlines()]
    assert {turn[1] for turn in turns} == {"00000"}
    for number in (1, 2, 3):
        samples, _ = soundfile.read(f"set/s{number}/00000.wav")
        speaks = np.zeros(len(samples), bool)
        for turn in turns:
            if turn[7] == f"s{number}":
                start = round(float(turn[3]) * RATE)
                speaks[start : start + round(float(turn[4]) * RATE)] = True
        assert speaks.any() and np.abs(samples[speaks]).mean() > 0.01
        borders = np.convolve(speaks, np.ones(17), "same") > 0  # 1 ms: times have three digits
        assert not samples[~borders].any()


def test_takes_a_pack(sepcli: CommandLine, speech: Path) -> None:
    from sepcli.training.dataset import find_speech
    from sepcli.training.pack import write_pack

    write_pack(find_speech(speech), Path("speech.pack"), RATE, coding="flac")
    assert sepcli("mix", "speech.pack", "-o", "set", *OPTIONS).code == 0
    assert len(rows(Path("set"))) == 3


def test_bad_recordings_are_said_and_passed_over(sepcli: CommandLine, speech: Path) -> None:
    (speech / "ann" / "1.wav").write_bytes(b"no recording")
    soundfile.write(speech / "ann" / "0.wav", np.zeros(RATE), RATE)
    done = sepcli("mix", speech, "-o", "set", "-n", 8, *OPTIONS[2:])
    assert done.code == 0
    assert "skipped 1 recording, not readable: ann/1.wav" in done.err
    assert "skipped 1 recording, silent: ann/0.wav" in done.err
    used = [name for row in rows(Path("set")) for name in row["recordings"].split()]
    assert not any("ann/1.wav" in name or "ann/0.wav" in name for name in used)


def test_a_row_with_a_name_that_no_file_can_have_is_passed_over(
    sepcli: CommandLine, speech: Path
) -> None:
    (speech / "list.csv").write_text(
        f"path,speaker\nann/1.wav,ann\nbob/1.ogg,bob\nmore/cy/1.wav,cy\n{'x' * 300},cy\n"
    )
    options = ("-n", 8, *OPTIONS[2:], "--speakers", 3)
    done = sepcli("mix", speech / "list.csv", "-o", "set", *options)
    assert done.code == 0 and "skipped 1 recording, not readable: xxx" in done.err, done.err


def test_a_set_is_not_overwritten_unasked(sepcli: CommandLine, speech: Path) -> None:
    assert sepcli("mix", speech, "-o", "set", *OPTIONS).code == 0
    before = content(Path("set"))
    done = sepcli("mix", speech, "-o", "set", *OPTIONS, "--seed", 1)
    assert (
        done.code == 1 and "a set is there already, or a part of one: set/manifest.csv" in done.err
    )
    assert content(Path("set")) == before
    assert sepcli("mix", speech, "-o", "set", *OPTIONS, "--seed", 1, "--overwrite").code == 0
    assert content(Path("set")) != before


def test_a_smaller_set_leaves_nothing_of_a_larger_one(sepcli: CommandLine, speech: Path) -> None:
    noise = ("--noise", speech / "bob")
    larger = ("mix", speech, "-o", "set", *OPTIONS, "-n", 4, "--speakers", 3, *noise)
    assert sepcli(*larger).code == 0
    Path("set/s1/mine.wav").write_bytes(b"mine")
    assert sepcli("mix", speech, "-o", "set", *OPTIONS, "-n", 1, "--overwrite").code == 0
    assert sorted(content(Path("set"))) == [
        "manifest.csv", "mix_clean/00000.wav", "s1/00000.wav", "s1/mine.wav", "s2/00000.wav",
        "turns.rttm",
    ]  # fmt: skip
    assert sorted(path.name for path in Path("set").iterdir() if path.is_dir()) == [
        "mix_clean", "s1", "s2",
    ]  # fmt: skip


def test_a_set_of_fewer_speakers_can_be_evaluated(sepcli: CommandLine, speech: Path) -> None:
    for speakers in (3, 2):
        made = sepcli("mix", speech, "-o", "set", *OPTIONS, "--speakers", speakers, "--overwrite")
        assert made.code == 0, made.err
        leave_temporary(Path(f"set/s{speakers}"))  # as a run that was killed
    done = sepcli("evaluate", "set", "--estimates", "set", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.lines[-1])["recordings"] == 3


def test_a_set_stays_where_no_new_one_can_be_made(sepcli: CommandLine, speech: Path) -> None:
    assert sepcli("mix", speech, "-o", "set", *OPTIONS).code == 0
    before = content(Path("set"))
    assert sepcli("mix", speech, "-o", "set", "--speakers", 4, "--overwrite").code == 1
    assert content(Path("set")) == before


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_runs_at_once_make_no_set_of_both(
    sepcli: CommandLine, speech: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    make, drawn = mixtures.make_mixture, []

    def meanwhile(*arguments: Any) -> mixtures.Mixture:
        drawn.append(arguments)
        if len(drawn) == 1 + len(options):  # before the first file of this run, or after it
            assert sepcli("mix", speech, "-o", "set", *OPTIONS, "--seed", 1, *options).code == 0
        return make(*arguments)

    monkeypatch.setattr(mixtures, "make_mixture", meanwhile)
    done = sepcli("mix", speech, "-o", "set", *OPTIONS, *options)
    assert done.code == 1 and "a set is there already, or a part of one: set" in done.err
    assert sepcli("mix", speech, "-o", "alone", *OPTIONS, "--seed", 1).code == 0
    assert content(Path("set")) == content(Path("alone"))


def test_a_set_that_is_removed_meanwhile_is_not_called_whole(
    sepcli: CommandLine, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = mixtures.make_mixture

    def meanwhile(*arguments: Any) -> mixtures.Mixture:
        if arguments[-1] == 2:
            shutil.rmtree("set")
        return make(*arguments)

    monkeypatch.setattr(mixtures, "make_mixture", meanwhile)
    done = sepcli("mix", speech, "-o", "set", *OPTIONS)
    assert done.code == 1 and "cannot write (no such file or directory): set" in done.err
    assert not Path("set").exists()


def test_names_that_are_no_text_come_through(sepcli: CommandLine, speech: Path) -> None:
    (speech / "bob/1.ogg").rename(os.fsdecode(os.fsencode(speech / "bob") + b"/\xff.ogg"))
    assert sepcli("mix", speech, "-o", "set", *OPTIONS).code == 0
    assert b"bob/\xff.ogg" in Path("set/manifest.csv").read_bytes()


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    ("given", "output"),
    [
        (("{0}",), "{0}"),
        (("{0}",), "{0}/sets/new"),
        (("{1}", "--noise", "{0}"), "{0}"),
        (("list.csv",), "{0}"),
        (("{1}", "--noise", "{0}/s1"), "{0}"),
    ],
)
def test_what_a_set_is_made_of_is_never_replaced(
    sepcli: CommandLine, speech: Path, given: tuple[str, ...], output: str, options: tuple[str]
) -> None:
    corpus = speech.parent / "corpus"  # whose speakers have the names of a set's folders
    for name, own in (("s1", "ann"), ("s2", "more/cy")):
        (corpus / name).mkdir(parents=True)
        (corpus / name / "00000.wav").write_bytes((speech / own / "1.wav").read_bytes())
    lines = [f"{corpus}/{name}/00000.wav,{name}" for name in ("s1", "s2")]
    Path("list.csv").write_text("\n".join(["path,speaker", *lines]))
    before = content(corpus)
    arguments = [text.format(corpus, speech) for text in (*given, "-o", output)]
    done = sepcli("mix", *arguments, *OPTIONS, *options)
    assert done.code == 1, done.err
    refusal = "the set would lie among its own inputs"
    assert refusal in done.err or (not options and "a set is there already" in done.err)
    assert content(corpus) == before


def test_the_list_of_speech_is_no_list_of_a_set(sepcli: CommandLine, speech: Path) -> None:
    files = sorted(speech.rglob("*.wav"))
    lines = [f"{path},{path.parent.name}" for path in files]
    Path("corpus").mkdir()
    list_of_speech = Path("corpus/manifest.csv")
    list_of_speech.write_text("\n".join(["path,speaker", *lines]))
    before = list_of_speech.read_bytes()
    done = sepcli("mix", list_of_speech, "-o", "corpus", *OPTIONS, "--overwrite")
    assert (done.code, "among its own inputs" in done.err) == (1, True), done.err
    assert list_of_speech.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--speakers", 4), 1, "too few speakers for mixtures of 4: 3"),
        (("--overlap-ratio", "0.9"), 2, "no such overlap ratio: 0.9"),
        (
            ("--style", "conversation", "--speakers", "1"),
            2,
            "a conversation needs two speakers at least: 1",
        ),
        (("--pause-seconds", "0"), 2, "no such pause: 0 s"),
        (("--pause-seconds", "nan"), 2, "no such pause seconds: nan"),
        (("--snr-db", "nan", "nan"), 2, "no such snr db: nan"),
        (("--snr-db", "-1e5", "0"), 2, "no such range: -100000 0"),
        (("--max-seconds", "1e308"), 2, "mixtures cannot be that long: 1e+308 s"),
        (("--max-seconds", "inf"), 2, "no such max seconds: inf"),
        (("--level-db", "1e9"), 2, "no such range of loudness: 1e+09 dB"),
        (("--rooms", "{speech}/more"), 2, "no room with responses from two places"),
        (("--noise", "{speech}/nowhere"), 1, "nowhere"),
        (("--split", "train"), 2, "no column split in: "),
    ],
)
def test_what_cannot_work_is_said(
    sepcli: CommandLine, speech: Path, arguments: tuple[object, ...], code: int, message: str
) -> None:
    filled = [str(argument).replace("{speech}", str(speech)) for argument in arguments]
    done = sepcli("mix", speech, "-o", "set", *OPTIONS, *filled)
    assert done.code == code and message in done.err
    assert "Traceback" not in done.err
    assert done.lines == []
