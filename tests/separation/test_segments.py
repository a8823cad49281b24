from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sepcli.audio import Together, check_output_format
from sepcli.separation.segments import SegmentFiles, cuts_of, segment_rows, segments_of
from sepcli.separation.speakers import Turn

RATE = 1000
TURNS = (Turn(0.05, 1.0, 0), Turn(0.8, 2.0, 1), Turn(1.1, 1.5, 0), Turn(3.0, 3.95, 0))


def test_turns_get_pads_where_there_is_room() -> None:
    found = {(each.speaker, each.number): each for each in segments_of(TURNS, 4.0)}
    spans = {key: (each.start_seconds, each.stop_seconds) for key, each in found.items()}
    assert spans == {
        (0, 1): (0.0, pytest.approx(1.05)),  # half of the pause to the next one
        (0, 2): (pytest.approx(1.05), pytest.approx(1.6)),
        (0, 3): (pytest.approx(2.9), pytest.approx(4.0)),
        (1, 1): (pytest.approx(0.7), pytest.approx(2.1)),
    }
    assert found[0, 1].overlap == pytest.approx(0.2 / 0.95)
    assert found[0, 2].overlap == pytest.approx(1.0)
    assert found[0, 3].overlap == pytest.approx(0.0)
    assert found[1, 1].overlap == pytest.approx((0.2 + 0.4) / 1.2)


def test_who_is_not_cut_out_overlaps_all_the_same() -> None:
    everybody = [each for each in segments_of(TURNS, 4.0) if each.speaker == 0]
    mine, others = ([turn for turn in TURNS if (turn.speaker == 0) == own] for own in (True, False))
    assert list(segments_of(mine, 4.0, others)) == everybody


def test_nobody_has_no_segments() -> None:
    assert segments_of((), 4.0) == ()


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    turns = []
    for speaker in range(3):
        edges = draw(st.lists(st.integers(0, 2000), max_size=12, unique=True).map(sorted))
        pairs = zip(edges[::2], edges[1::2], strict=False)
        turns += [Turn(start / 100, stop / 100, speaker) for start, stop in pairs]
    return tuple(sorted(turns))


@given(conversations())
def test_overlap_is_what_counting_frames_gives(turns: tuple[Turn, ...]) -> None:
    active = np.zeros((3, 2000))
    for turn in turns:
        active[turn.speaker, round(100 * turn.start_seconds) : round(100 * turn.stop_seconds)] = 1
    starts = {turn.speaker: [t for t in turns if t.speaker == turn.speaker] for turn in turns}
    found = segments_of(turns, 20.0)
    assert len(found) == len(turns)
    for each in found:
        turn = starts[each.speaker][each.number - 1]
        frames = slice(round(100 * turn.start_seconds), round(100 * turn.stop_seconds))
        assert each.overlap == pytest.approx(np.mean(active[:, frames].sum(axis=0) > 1), abs=1e-6)
        assert 0.0 <= each.start_seconds <= turn.start_seconds
        assert turn.stop_seconds <= each.stop_seconds <= 20.0


@pytest.mark.parametrize("block", [1, 7, 450, 5000])
def test_each_file_is_its_part_of_its_speaker(tmp_path: Path, block: int) -> None:
    kind = check_output_format("wav", "FLOAT")
    waveforms = np.random.default_rng(0).uniform(-1, 1, (2, 4000)).astype(np.float32)
    cuts = cuts_of(segments_of(TURNS, 4.0), tmp_path, ("ann", "bob"), ".wav", RATE)
    with Together(overwrite=False) as files:
        writer = SegmentFiles(files, cuts, RATE, kind)
        for start in range(0, 4000, block):
            writer.write(waveforms[:, start : start + block])
        assert {each.file.descriptor for each in files._writers} == {-1}  # none is kept open
        files.publish()
    rows = segment_rows(cuts, ("ann", "bob"), RATE, Path("talk.wav"), 10.0)
    names = ["ann_0001.wav", "bob_0001.wav", "ann_0002.wav", "ann_0003.wav"]
    assert [Path(row["audio_filepath"]).name for row in rows] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for row in rows:
        first, length = round(RATE * (row["start"] - 10.0)), round(RATE * row["duration"])
        expected = waveforms[int(row["speaker"] == "bob"), first : first + length]
        assert np.array_equal(soundfile.read(row["audio_filepath"], dtype="float32")[0], expected)
        assert row["source_audio_filepath"] == str(Path("talk.wav").absolute())
