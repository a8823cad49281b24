from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.errors import AudioError, UsageError
from sepcli.evaluation.dataset import find_estimates, find_items, index_files, read, read_item

RATE = 8000


def write(path: Path, seconds: float = 0.5, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        path, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate)), rate
    )
    return path


def test_finds_the_layouts_of_wsj0_and_librimix(tmp_path: Path) -> None:
    for track in ("mix_both", "mix_clean", "s1", "s2"):
        for name in ("b.wav", "sub/a.flac"):
            write(tmp_path / track / name)
    items, chosen = find_items(tmp_path)
    assert chosen == "mix_clean"
    assert [item.name for item in items] == ["b", "sub/a"]
    assert items[1].mixture == tmp_path / "mix_clean/sub/a.flac"
    assert items[1].references == (tmp_path / "s1/sub/a.flac", tmp_path / "s2/sub/a.flac")
    assert find_items(tmp_path, "mix_both")[0][0].mixture == tmp_path / "mix_both/b.wav"
    with pytest.raises(UsageError, match="no such folder"):
        find_items(tmp_path, "mix_single")


def test_a_missing_reference_keeps_its_recording_in_the_set(tmp_path: Path) -> None:
    for name in ("mix/a.wav", "mix/b.wav", "s1/a.wav", "s1/b.wav", "s2/a.wav"):
        write(tmp_path / name)
    items, _ = find_items(tmp_path)
    assert [item.name for item in items] == ["a", "b"]
    with pytest.raises(AudioError):
        read(items[1].references)


def test_says_where_the_references_are(tmp_path: Path) -> None:
    write(tmp_path / "tt/s1/a.wav")
    with pytest.raises(AudioError, match="no references") as caught:
        find_items(tmp_path)
    assert caught.value.hint == "name one of its parts: tt"
    with pytest.raises(AudioError, match="no such folder"):
        find_items(tmp_path / "nowhere")
    with pytest.raises(AudioError, match="no recordings in"):
        (tmp_path / "empty/s1").mkdir(parents=True)
        find_items(tmp_path / "empty")


def test_finds_estimates_by_either_layout(tmp_path: Path) -> None:
    one = [write(tmp_path / f"a_spk{k}.wav") for k in (1, 2, 3)]
    two = [write(tmp_path / f"s{k}/sub/b.wav") for k in (1, 2)]
    files = index_files(tmp_path)
    assert find_estimates(files, "a") == one
    assert find_estimates(files, "sub/b") == two
    assert find_estimates(files, "c") == []


def test_reads_to_the_shortest_and_refuses_two_rates(tmp_path: Path) -> None:
    long, short = write(tmp_path / "l.wav", 0.5), write(tmp_path / "s.wav", 0.4)
    waveforms, rate, differed = read([long, short])
    assert waveforms.shape == (2, 3200) and rate == RATE and differed
    with pytest.raises(AudioError, match="sample rates differ: 8000, 16000"):
        read([long, write(tmp_path / "r.wav", rate=16000)])


def test_channels_of_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    (mono,), _, _ = read([write(tmp_path / "mono.wav")])
    soundfile.write(tmp_path / "stereo.wav", np.stack([mono, -mono], 1), RATE, "FLOAT")
    np.testing.assert_allclose(read([tmp_path / "stereo.wav"])[0][0], mono, atol=1e-6)


def test_of_two_files_of_one_name_none_is_taken(tmp_path: Path) -> None:
    for name in ("s1/a.wav", "s1/b.wav", "s1/b.flac", "s1/b.ogg", "s2/a.wav", "s2/b.wav"):
        write(tmp_path / name)
    fine, doubled = find_items(tmp_path)[0]
    assert fine.doubles == ()
    assert doubled.doubles == (tmp_path / "s1/b.flac", tmp_path / "s1/b.ogg")
    assert read_item(fine)[0].shape == (2, 4000)
    with pytest.raises(AudioError, match=r"two files of one name: .*b\.flac and .*b\.ogg"):
        read_item(doubled)
    estimates = index_files(tmp_path)
    assert find_estimates(estimates, "a") == [tmp_path / "s1/a.wav", tmp_path / "s2/a.wav"]
    with pytest.raises(AudioError, match=r"two files of one name: .*b\.flac and .*b\.ogg"):
        find_estimates(estimates, "b")
