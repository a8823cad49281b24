"""Outputs called after people whose voices are given, from the command line."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.cli import loading
from sepcli.cli.options import LabelFormat
from sepcli.models.load import LoadedModel
from tests.cli.runner import CommandLine
from tests.doubles import RATE, Identity, conversation, entry, hear_bands


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write two people's talk and their voices; a network and voices whose answers are known."""
    loaded = LoadedModel(Identity((0.5, 0.5)), entry(level="as-is"))
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: loaded)
    monkeypatch.setattr(loading, "load_embed", lambda *_, **__: hear_bands)
    (tmp_path / "voices").mkdir()
    for name, person in (("alice", "0"), ("bob", "1"), ("carol", "2")):
        soundfile.write(tmp_path / f"voices/{name}.wav", conversation(person, 3.0), RATE)
    soundfile.write(tmp_path / "talk.wav", conversation("1010", 2.0), RATE)
    return tmp_path / "talk.wav"


def test_files_turns_labels_and_rows_are_called_after_people(
    sepcli: CommandLine, talk: Path
) -> None:
    voices = ("--voice", "alice=voices/alice.wav", "--voice", "carol=voices/carol.wav")
    done = sepcli("separate", talk, *voices, "--speakers", 2, "--labels", "rttm", "--json")
    assert done.code == 0, done.err
    (record,) = map(json.loads, done.lines)
    assert record["outputs"] == ["separated/talk_spk1.wav", "separated/talk_alice.wav"]
    stranger, alice = record["speakers"]
    assert (alice["name"], alice["voice"]) == ("alice", "alice")
    assert alice["likeness"] > 0.9
    assert (stranger["name"], stranger["voice"]) == ("spk1", None)
    assert stranger["likeness"] < 0.2
    assert {turn["speaker"] for turn in record["turns"]} == {"spk1", "alice"}
    assert " alice " in Path("separated/talk.rttm").read_text()
    Path("rows.jsonl").write_text(json.dumps({"audio_filepath": str(talk)}))
    again = ("separate", "--manifest", "rows.jsonl", *voices, "--speakers", 2, "--json")
    for options in (("--overwrite",), ("--skip-existing",)):
        rows = sepcli(*again, *options)
        assert rows.code == 0, rows.err
        found = {json.loads(line)["speaker"] for line in rows.lines}
        assert found == {"spk1", "alice"}


def test_without_voices_nothing_is_said_of_likeness(sepcli: CommandLine, talk: Path) -> None:
    done = sepcli("separate", talk, "--json")
    assert "likeness" not in done.out


def test_one_person_alone(sepcli: CommandLine, talk: Path) -> None:
    done = sepcli("separate", talk, "--voice", "voices", "--only", "alice", "--speakers", 2)
    assert (done.code, done.err) == (0, "")
    assert done.lines == ["separated/talk_alice.wav"]
    carol = ("--voice", "voices", "--only", "carol", "--report", "page.html")
    done = sepcli("separate", talk, *carol, "--json", "--segments", "cut")
    assert done.code == 0
    assert "</b>: carol is not heard, nothing was written" in Path("page.html").read_text("utf-8")
    assert "warning: carol is not heard, nothing was written" in done.err
    assert str(talk) in done.err
    (record,) = map(json.loads, done.lines)
    assert (record["outputs"], record["speakers"], record["turns"]) == ([], [], [])
    assert "segments" not in record
    assert [path.name for path in Path("separated").iterdir()] == ["talk_alice.wav"]


def test_utterances_of_one_person_alone(sepcli: CommandLine, talk: Path) -> None:
    done = sepcli(
        *("separate", talk, "--voice", "voices", "--only", "alice", "--speakers", 2),
        *("--segments", "cut"),
    )
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in Path("cut/segments.jsonl").read_text().splitlines()]
    assert [row["speaker"] for row in rows] == ["alice", "alice"]
    assert all(Path(row["audio_filepath"]).name.startswith("alice_") for row in rows)


def test_one_file_with_a_channel_a_speaker_names_them(sepcli: CommandLine, talk: Path) -> None:
    layout = ("separate", talk, "--voice", "voices", "--speakers", 2, "--layout", "channels")
    layout = (*layout, "--json")
    Path("rows.jsonl").write_text(json.dumps({"audio_filepath": str(talk)}))
    done = sepcli(*layout)
    assert done.code == 0, done.err
    (record,) = map(json.loads, done.lines)
    assert [speaker["name"] for speaker in record["speakers"]] == ["bob", "alice"]
    with soundfile.SoundFile("separated/talk_speakers.wav") as file:
        assert (file.channels, file.comment) == (2, "channels: bob, alice")
    rows = sepcli("separate", "--manifest", "rows.jsonl", *layout[2:], "--skip-existing")
    assert [json.loads(line)["speaker"] for line in rows.lines] == ["bob", "alice"]
    only = (*layout, "--only", "alice")
    for skipped in (False, True):  # everybody's file is not hers
        done = sepcli(*only, "--skip-existing")
        assert done.code == 0, done.err
        (record,) = map(json.loads, done.lines)
        assert (record["outputs"], record["skipped"]) == (["separated/talk_alice.wav"], skipped)
    with soundfile.SoundFile("separated/talk_alice.wav") as file:
        assert (file.channels, file.comment) == (1, "channels: alice")
    alone = ("--format", "mp3", "--speakers", "auto")
    refused = sepcli(*layout, *alone)
    assert "mp3 cannot hold this many channels: 8" in refused.err
    done = sepcli(*only, *alone)
    assert done.code == 0, done.err
    assert soundfile.info("separated/talk_alice.mp3").channels == 1
    refused = sepcli(*only, "--name", "{stem}_all")
    assert (refused.code, refused.out) == (2, "")
    assert "name template has no {speaker}" in refused.err


@pytest.mark.parametrize("audio_format", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("people", ["1111", "1010"])
def test_a_file_of_channels_names_them_also_where_it_is_there(
    sepcli: CommandLine, talk: Path, audio_format: str, people: str
) -> None:
    soundfile.write(talk, conversation(people, 2.0), RATE)
    Path("rows.jsonl").write_text(json.dumps({"audio_filepath": str(talk)}))
    names = ["bob", "alice"][: len(set(people))]
    run = ("separate", "--manifest", "rows.jsonl", "--layout", "channels", "--json")
    run = (*run, "--speakers", len(names), "--voice", "voices", "--format", audio_format)
    for number in (1, 2):
        done = sepcli(*run, "--skip-existing")
        assert done.code == 0, done.err
        rows = [json.loads(line) for line in done.lines]
        assert [row["speaker"] for row in rows] == names
        assert [row["margins"] is None for row in rows] == [number == 2] * len(names)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--voice", "alice"), 2, "neither NAME=FILE nor a folder: alice"),
        (("--voice", ""), 2, "neither NAME=FILE nor a folder: "),
        (("--voice", "voices", "--only", ""), 2, "--only names nobody"),
        (("--only", "alice"), 2, "no voice is given for --only alice"),
        (("--voice", "voices", "--only", "dave"), 2, "no voice is called: dave"),
        (("--voice", "spk2=voices/bob.wav"), 2, "unknown speaker's file: spk2"),
        (("--voice", "dave=dave.wav"), 1, "voice of dave: no such file"),
        (("--voice", "dave=silent.wav"), 1, "voice of dave is silent: silent.wav"),
        (("--voice", "voices", "--channels"), 2, "takes no: --voice"),
    ],
)
def test_voices_that_make_no_sense_are_told_before_the_work(
    sepcli: CommandLine, talk: Path, options: tuple[str, ...], code: int, says: str
) -> None:
    soundfile.write("silent.wav", np.zeros(RATE * 5), RATE)
    done = sepcli("separate", talk, *options)
    assert done.code == code
    assert says in done.err
    assert "hint: " in done.err
    assert not Path("separated").exists()


def test_a_voice_is_never_replaced(sepcli: CommandLine, talk: Path) -> None:
    voice = Path("separated/talk_alice.wav")
    voice.parent.mkdir()
    voice.write_bytes(Path("voices/alice.wav").read_bytes())
    before = voice.read_bytes()
    done = sepcli("separate", talk, "--voice", f"alice={voice}", "--overwrite")
    assert done.code == 1
    assert "output would replace an input" in done.err
    assert voice.read_bytes() == before


def test_a_voice_among_segments_is_never_replaced(sepcli: CommandLine, talk: Path) -> None:
    voice = Path("cut/talk/alice_0001.wav")
    voice.parent.mkdir(parents=True)
    voice.write_bytes(Path("voices/alice.wav").read_bytes())
    before = voice.read_bytes()
    done = sepcli("separate", talk, "--voice", f"alice={voice}", "--segments", "cut", "--overwrite")
    assert done.code == 1
    assert f"a folder that holds an input: cut/talk, {voice}" in done.err
    assert voice.read_bytes() == before


def test_names_that_are_no_text_can_stand_in_labels(sepcli: CommandLine, talk: Path) -> None:
    recording = talk.rename(talk.with_name(os.fsdecode(b"t\xff.wav")))
    voice = os.fsdecode(b"al\xff=voices/alice.wav")
    labels = [option for kind in LabelFormat for option in ("--labels", kind)]
    done = sepcli("separate", recording, "--voice", voice, "--speakers", 2, *labels)
    assert done.code == 0, done.err
    (rttm,) = Path("separated").glob("*.rttm")
    assert "SPEAKER t\\xff 1 " in rttm.read_text("utf-8")
    assert " al\\xff <NA>" in rttm.read_text("utf-8")


def test_who_is_taken_for_another_is_told_so(sepcli: CommandLine, talk: Path) -> None:
    shutil.copy("voices/alice.wav", "twin.wav")
    known = ("--voice", "voices", "--voice", "twin=twin.wav", "--speakers", 2)
    told = [sepcli("separate", talk, *known, "--only", name).err for name in ("alice", "twin")]
    # of equals, one is taken
    assert ["but more like another voice)" in err for err in told].count(True) == 1, told
