"""Speech from folders, manifests and packs: what is taken, what is skipped and counted."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sepcli.errors import AudioError, OutputError, UsageError
from sepcli.training.dataset import (
    Utterance,
    decode,
    find_speech,
    read_recordings,
    read_speech,
    to_float,
)
from sepcli.training.pack import write_pack

from .conftest import RATE, voice


def test_a_folder_gives_speakers_in_order(speech_folder: Path) -> None:
    speech = read_speech(find_speech(speech_folder), RATE)
    names = ["corpus0/speaker0", "corpus0/speaker2", "corpus1/speaker1", "corpus1/speaker3"]
    assert list(speech.speakers) == names
    assert [len(voice_) for voice_ in speech.signals[0]] == [2, 2, 2, 2]
    assert speech.seconds == pytest.approx(4 * 1.1)
    assert speech.single_recordings == 0
    truth, _ = soundfile.read(speech_folder / "corpus0/speaker2/1.wav", dtype="int16")
    assert np.abs(speech.signals[0][1][1].astype(int) - truth).max() <= 1


def test_speeds_change_length_and_pitch(speech_folder: Path) -> None:
    speech = read_speech(find_speech(speech_folder), RATE, speeds=(0.8, 1.0, 1.25))
    slow, same, fast = (speech.signals[variant][0][0] for variant in range(3))
    assert len(slow) == pytest.approx(len(same) / 0.8, abs=1)
    assert len(fast) == pytest.approx(len(same) / 1.25, abs=1)
    peak = [np.abs(np.fft.rfft(x)).argmax() * RATE / len(x) for x in (slow, same, fast)]
    assert peak == pytest.approx([72, 90, 112.5], abs=3)


def test_higher_rates_are_resampled_and_channels_mixed(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    signal = voice(2, 0.5, 16000)
    soundfile.write(tmp_path / "anna/1.wav", np.stack([signal, signal], 1), 16000)
    speech = read_speech(find_speech(tmp_path), RATE)
    assert len(speech.signals[0][0][0]) == RATE // 2


def test_channels_of_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    signal = voice(2, 0.5)
    soundfile.write(tmp_path / "1.wav", np.stack([signal, -signal], 1), RATE, "FLOAT")
    (found,) = decode(Utterance("anna", tmp_path / "1.wav"), RATE, (1.0,))
    np.testing.assert_allclose(to_float(found), signal, atol=1e-4)


def test_bad_recordings_are_skipped_and_counted(speech_folder: Path) -> None:
    bad = speech_folder / "corpus0" / "bad"
    bad.mkdir()
    (bad / "broken.wav").write_bytes(b"no sound in here")
    soundfile.write(bad / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(bad / "short.wav", voice(0, 0.1), RATE)
    soundfile.write(bad / "narrow.wav", voice(0, 0.5, 4000), 4000)
    soundfile.write(bad / "narrow2.wav", voice(0, 0.5, 4000), 4000)
    speech = read_speech(find_speech(speech_folder), RATE)
    assert "corpus0/bad" not in speech.speakers
    assert speech.skipped.counts == {
        "not readable": 1,
        "silent": 1,
        "shorter than 0.2 s": 1,
        "sample rate below 8000 Hz": 2,
    }
    lines = speech.skipped.lines()
    assert any("skipped 2 recordings, sample rate below 8000 Hz: " in line for line in lines)
    assert any("skipped 1 recording, silent: " in line and "silent.wav" in line for line in lines)


def test_a_speaker_with_one_recording_is_counted(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    soundfile.write(tmp_path / "anna/1.wav", voice(1), RATE)
    assert read_speech(find_speech(tmp_path), RATE).single_recordings == 1


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: p.write_text("x"), lambda p: None])
def test_nothing_to_train_on_is_an_error(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "place"
    make(path)
    with pytest.raises(AudioError) as caught:
        find_speech(path)
    assert caught.value.hint


def test_files_outside_speakers_are_no_speech(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "1.wav", voice(1), RATE)
    with pytest.raises(AudioError, match="no recordings of named speakers"):
        find_speech(tmp_path)


def test_too_few_usable_speakers_say_why(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    soundfile.write(tmp_path / "anna/1.wav", np.zeros(RATE), RATE)
    with pytest.raises(AudioError, match=r"usable speech of 0 speakers, 2 are needed.*silent"):
        read_speech(find_speech(tmp_path), RATE, min_speakers=2)


def test_a_manifest_names_files_speakers_and_splits(speech_folder: Path) -> None:
    manifest = speech_folder / "list.csv"
    manifest.write_text(
        "path,split,corpus,speaker\n"
        "corpus0/speaker0/0.wav,train,c,a\n"
        "corpus0/speaker2/0.wav,train,c,b\n"
        "corpus1/speaker1/0.wav,dev,c,d\n"
    )
    assert [item.speaker for item in find_speech(manifest, split="train")] == ["c/a", "c/b"]
    assert [item.speaker for item in find_speech(manifest)] == ["c/a", "c/b", "c/d"]


def places_without_splits(speech: Path) -> list[Path]:
    """Return a folder with the name of a manifest, a pack and a manifest, of the same speech."""
    folder = speech.rename(speech.with_suffix(".csv"))
    pack, manifest = folder.with_name("speech.pack"), folder.with_name("list.csv")
    write_pack(find_speech(folder), pack, RATE, coding="flac")
    manifest.write_text(f"path,speaker\n{folder.name}/corpus0/speaker0/0.wav,a\n")
    return [folder, pack, manifest]


def test_a_split_is_not_asked_of_what_has_none(speech_folder: Path) -> None:
    for place in places_without_splits(speech_folder):
        with pytest.raises(UsageError) as caught:
            find_speech(place, split="train")
        assert caught.value.message == f"no column split in: {place}"
        assert find_speech(place, split="train", needs_splits=False) == find_speech(place)


def test_a_split_that_no_row_has_is_told_with_those_there_are(speech_folder: Path) -> None:
    manifest = speech_folder / "list.csv"
    lines = [f"corpus0/speaker0/0.wav,a,{split}" for split in ("train", "", "dev", "train")]
    manifest.write_text("\n".join(["path,speaker,split", *lines, "corpus0/speaker2/0.wav,b"]))
    for needs_splits in (True, False):
        with pytest.raises(UsageError) as caught:
            find_speech(manifest, split="tset", needs_splits=needs_splits)
        assert caught.value.message == f"no rows of split tset in: {manifest}"
        assert caught.value.hint == "there is: dev, train"
    assert len(find_speech(manifest, split="train")) == 2


def test_a_manifest_may_begin_with_the_mark_of_spreadsheets(speech_folder: Path) -> None:
    manifest = speech_folder / "list.csv"
    manifest.write_text("path,speaker\ncorpus0/speaker0/0.wav,a\n", encoding="utf-8-sig")
    assert [item.speaker for item in find_speech(manifest)] == ["a"]


@pytest.mark.parametrize("damage", [(b"PK\x01\x02", b"XXXX"), ("é".encode(), b"\xff\xff")])
def test_a_pack_whose_list_is_damaged_is_told(damage: tuple[bytes, bytes], tmp_path: Path) -> None:
    pack = tmp_path / "speech.zip"
    with zipfile.ZipFile(pack, "w") as archive:
        archive.writestr("é/1.wav", b"x")
    pack.write_bytes(pack.read_bytes().replace(*damage))
    with pytest.raises(AudioError, match="damaged pack"):
        find_speech(pack)


def test_a_zero_byte_in_a_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,speaker\na\0b.wav,ann\n")
    with pytest.raises(UsageError, match="no name of a file: 'a"):
        find_speech(tmp_path / "list.csv")


@pytest.mark.parametrize("kind", ["damaged", "encrypted"])
def test_a_damaged_member_of_a_zip_is_skipped(kind: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, voice(1), RATE, format="WAV")
    pack = tmp_path / "speech.zip"
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("anna/1.wav", "bob/1.wav"):
            archive.writestr(name, content.getvalue())
    raw = bytearray(pack.read_bytes())
    if kind == "damaged":
        raw[200:600] = bytes(400)
    else:
        entry = raw.index(b"PK\x01\x02")  # of the first member, in the directory at the end
        raw[entry + 8] |= 1
        raw[6] |= 1
    pack.write_bytes(raw)
    speech = read_speech(find_speech(pack), RATE)
    assert list(speech.speakers) == ["bob"] and speech.skipped.counts == {"not readable": 1}


def test_a_pack_takes_speakers_whose_names_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "1.wav"
    soundfile.write(file, voice(0, 1.0), RATE)
    speakers = [os.fsdecode(b"\xff"), "a\0b", "a\0c", "\u00e9\n"]
    pack = tmp_path / "speech.pack"
    write_pack([Utterance(speaker, file) for speaker in speakers], pack, RATE, coding="flac")
    names = [item.speaker for item in find_speech(pack)]
    assert names == sorted(["\\xff", "a\\x00b", "a\\x00c", "\u00e9\\n"])


def test_a_flac_pack_is_the_folder(speech_folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "speech.pack"
    skipped = write_pack(find_speech(speech_folder), pack, RATE, coding="flac")
    assert not skipped.counts
    direct = read_speech(find_speech(speech_folder), RATE)
    packed = read_speech(find_speech(pack), RATE)
    assert packed.speakers == direct.speakers
    for mine, truth in zip(packed.signals[0], direct.signals[0], strict=True):
        for one, other in zip(mine, truth, strict=True):
            # decoded samples are scaled by 32768, kept ones by 32767
            assert np.abs(one.astype(int) - other).max() <= 1


def test_a_name_that_no_zip_can_hold_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "1.wav"
    soundfile.write(file, voice(0, 1.0), RATE)
    speech = [Utterance("a", file), Utterance("b" * 70_000, file)]
    skipped = write_pack(speech, tmp_path / "speech.pack", RATE, coding="flac")
    assert skipped.counts == {"name too long for a pack": 1}
    assert [item.speaker for item in find_speech(tmp_path / "speech.pack")] == ["a"]


def test_a_pack_may_have_the_name_of_a_manifest(speech_folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack.csv"
    write_pack(find_speech(speech_folder), pack, RATE, coding="flac")
    assert len(find_speech(pack)) == len(find_speech(speech_folder))


def test_the_contents_of_a_pack_are_read_once(
    speech_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = tmp_path / "speech.pack"
    write_pack(find_speech(speech_folder), pack, RATE)
    opened = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            opened.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(zipfile, "ZipFile", Counted)
    assert read_speech(find_speech(pack), RATE).seconds > 1
    assert opened == [(pack,)]


def test_an_opus_pack_is_small_and_close(speech_folder: Path, tmp_path: Path) -> None:
    long = [voice(k, 10.0) for k in range(2)]
    for number, signal in enumerate(long):
        soundfile.write(speech_folder / f"corpus0/speaker0/long{number}.wav", signal, RATE)
    pack = tmp_path / "speech.pack"
    write_pack(find_speech(speech_folder), pack, RATE)
    packed = read_speech(find_speech(pack), RATE)
    direct = read_speech(find_speech(speech_folder), RATE)
    assert pack.stat().st_size / direct.seconds < 4000
    truth = direct.signals[0][0][2].astype(float)
    near = packed.signals[0][0][2].astype(float)
    assert abs(len(near) - len(truth)) < 200
    spectrum = [np.abs(np.fft.rfft(x[:70_000])) for x in (truth, near)]
    assert np.corrcoef(*spectrum)[0, 1] > 0.95


def test_packs_skip_and_refuse_like_folders(speech_folder: Path, tmp_path: Path) -> None:
    silent = speech_folder / "corpus0/speaker0/silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    pack = tmp_path / "speech.pack"
    assert write_pack(find_speech(speech_folder), pack, RATE).counts == {"silent": 1}
    with pytest.raises(AudioError, match="no usable recording to pack"):
        write_pack([Utterance("a", silent)], tmp_path / "other.pack", RATE)
    with pytest.raises(OutputError, match="Opus has no such sample rate: 11025"):
        write_pack(find_speech(speech_folder), pack, 11025)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speech", "speech.pack"]


def test_same_names_in_a_pack_are_kept_apart(tmp_path: Path) -> None:
    for kind in ("wav", "flac"):
        (tmp_path / "anna").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"anna/1.{kind}", voice(1), RATE)
    pack = tmp_path / "speech.pack"
    write_pack(find_speech(tmp_path / "anna" / ".." / "."), pack, RATE, coding="flac")
    assert [item.member for item in find_speech(pack)] == ["anna/1-2.flac", "anna/1.flac"]


def test_recordings_of_noise_are_read_by_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "rain.wav", voice(1, 0.05, 16000), 16000)
    (tmp_path / "broken.wav").write_bytes(b"?")
    found, skipped = read_recordings(tmp_path, RATE)
    assert list(found) == ["rain.wav"] and len(found["rain.wav"]) == 400
    assert skipped.counts == {"not readable": 1}


def test_noisy_recordings_of_a_manifest_weigh_less(speech_folder: Path) -> None:
    manifest = speech_folder / "list.csv"
    levels = {"clean": "60", "noisy": "10", "between": "31", "unknown": "", "odd": "?"}
    file = next(speech_folder.rglob("*.wav")).relative_to(speech_folder)
    rows = [f"{file},{name},{level}" for name, level in levels.items()]
    manifest.write_text("\n".join(["path,speaker,snr_est_db", *rows]) + "\n")
    weights = {item.speaker: item.weight for item in find_speech(manifest)}
    expected = {"clean": 1.0, "noisy": 0.1, "between": 0.5, "unknown": 1.0, "odd": 1.0}
    assert weights == expected
    assert read_speech(find_speech(manifest), RATE).weights[1] == (1.0,)
