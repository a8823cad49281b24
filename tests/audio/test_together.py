import errno
import struct
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import soundfile

from sepcli.audio import Together, check_output_format, read_channel_names
from sepcli.audio.channel_names import names_in
from sepcli.errors import OutputError
from sepcli.files import PendingFile

RATE = 8000
WAV = check_output_format("wav")
SOUND = np.linspace(-0.5, 0.5, 100, dtype=np.float32)


def fill(files, folder, count=3):
    writers = [files.waveform(folder / f"spk{number}.wav", RATE, WAV) for number in range(count)]
    for writer in writers:
        writer.write(SOUND)
    return writers


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_are_published(tmp_path):
    with Together(overwrite=False) as files:
        fill(files, tmp_path)
        files.content(tmp_path / "labels.txt", b"who")
        other = PendingFile(tmp_path / "other")
        other.write(b"what")
        files.closed(other)
        files.publish()
    assert names(tmp_path) == ["labels.txt", "other", "spk0.wav", "spk1.wav", "spk2.wav"]
    assert (tmp_path / "labels.txt").read_bytes() == b"who"


def test_what_is_not_published_goes(tmp_path):
    with Together(overwrite=False) as files:
        fill(files, tmp_path)
        files.content(tmp_path / "labels.txt", b"who")
    assert names(tmp_path) == []


def test_one_that_cannot_be_finished_stops_all(tmp_path):
    with pytest.raises(OutputError, match="full"), Together(overwrite=False) as files:
        fill(files, tmp_path)[1].file.error = OSError(errno.ENOSPC, "full")
        files.publish()
    assert names(tmp_path) == []


def test_one_that_cannot_be_renamed_takes_the_others_back(tmp_path):
    with pytest.raises(OutputError, match="already there"), Together(overwrite=False) as files:
        fill(files, tmp_path)
        (tmp_path / "spk2.wav").write_bytes(b"old")
        files.publish()
    assert names(tmp_path) == ["spk2.wav"]
    assert (tmp_path / "spk2.wav").read_bytes() == b"old"


PEOPLE = ("spk1", "Ann & Bo", "spk3")


def written(folder, format, people, num_samples=None):
    with Together(overwrite=False) as files:
        path = folder / f"a.{format}"
        writer = files.waveform(
            path,
            RATE,
            check_output_format(format),
            channel_names=people,
            num_samples=num_samples,
        )
        writer.write(np.stack([SOUND] * len(people), axis=1))
        files.publish()
    return path


@pytest.mark.parametrize(
    "format,num_people", [("wav", 2), ("wav", 3), ("flac", 3), ("ogg", 3), ("mp3", 2)]
)
def test_the_comment_says_who_is_on_each_channel(tmp_path, format, num_people):
    path = written(tmp_path, format, PEOPLE[:num_people])
    with soundfile.SoundFile(path) as sound:
        assert sound.channels == num_people
        assert sound.comment == "channels: " + ", ".join(PEOPLE[:num_people])
        assert format == "mp3" or sound.frames == len(SOUND)
    assert read_channel_names(path) == tuple(PEOPLE[:num_people])


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_names_with_commas_come_back(tmp_path, format):
    people = ("Doe, Jane", "a,b", "c,")
    assert read_channel_names(written(tmp_path, format, people)) == people


@pytest.mark.parametrize("comment", ["", "made by hand", "channels: a", "channels: a, b, c"])
def test_comments_that_say_nothing_of_these_channels_are_none_of_ours(comment):
    assert names_in(comment, 2) == ()


@pytest.mark.parametrize("num_people,num_samples", [(2, 100), (3, 100), (3, 7)])
def test_the_tracks_of_a_wav_have_names(tmp_path, num_people, num_samples):
    chunks = dict(chunks_of(written(tmp_path, "wav", PEOPLE[:num_people], num_samples)))
    tracks = ElementTree.fromstring(chunks[b"iXML"].rstrip(b"\0")).findall(".//TRACK")
    found = [(int(track.findtext("INTERLEAVE_INDEX")), track.findtext("NAME")) for track in tracks]
    assert found == list(enumerate(PEOPLE[:num_people], 1))
    assert len(chunks[b"data"]) == 2 * num_people * len(SOUND)


def test_more_than_two_people_are_no_loudspeakers(tmp_path):
    chunks = dict(chunks_of(written(tmp_path, "wav", PEOPLE)))
    kind, num_channels = struct.unpack_from("<2H", chunks[b"fmt "])
    mask, subformat = struct.unpack_from("<IH", chunks[b"fmt "], 20)
    assert (kind, num_channels, mask, subformat) == (0xFFFE, 3, 0, 1)
    assert soundfile.info(tmp_path / "a.wav").format == "WAVEX"


def test_names_that_are_no_text_are_written_all_the_same(tmp_path):
    path = written(tmp_path, "wav", ("a\udcff", "b\n"))
    with soundfile.SoundFile(path) as sound:
        assert sound.comment == "channels: a\\xff, b\\n"


def chunks_of(path):
    data = path.read_bytes()
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    place = 12
    while place < len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        yield kind, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
