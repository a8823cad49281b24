import dataclasses

import numpy as np
import pytest

from sepcli.audio.loudness import loudness
from sepcli.errors import AudioError, UsageError
from sepcli.training.mixtures import Material, MixOptions, make_mixture

RATE = 8000


def noise(seconds: float, seed: int) -> np.ndarray:
    signal = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (0.05 * signal).astype(np.float32)


def material(**changes: object) -> Material:
    """Four speakers with three recordings each, of 0.8 to 3 s."""
    sounds = {
        f"{voice}{take}": noise(0.8 + 0.2 * (number * 3 + take), number * 3 + take)
        for number, voice in enumerate("abcd")
        for take in range(3)
    }
    recordings = {voice: [f"{voice}{take}" for take in range(3)] for voice in "abcd"}
    return dataclasses.replace(Material(recordings, sounds.get), **changes)  # type: ignore[arg-type]


TOGETHER = MixOptions(sample_rate=RATE, min_seconds=2.0, max_seconds=5.0)


def test_a_mixture_depends_on_seed_and_number_alone() -> None:
    first = [make_mixture(material(), TOGETHER, 5, number) for number in (0, 1)]
    again = make_mixture(material(), TOGETHER, 5, 1)
    np.testing.assert_array_equal(first[1].references, again.references)
    assert first[1].recordings == again.recordings
    other = make_mixture(material(), TOGETHER, 6, 1)
    assert first[1].recordings != other.recordings or first[1].gains_db != other.gains_db


@pytest.mark.parametrize("speakers", [2, 3])
@pytest.mark.parametrize("length", ["min", "max"])
def test_sources_have_the_wanted_loudness(speakers: int, length: str) -> None:
    options = dataclasses.replace(TOGETHER, num_speakers=speakers, length=length, level_db=6.0)
    for number in range(8):
        mixture = make_mixture(material(), options, 0, number)
        assert mixture.references.shape[0] == speakers == len(set(mixture.speakers))
        measured = [loudness(row, RATE) for row in mixture.references]
        turned_down = min(0.0, -29.0 + 3.0 - max(measured))  # only where the sum would clip
        assert all(-29 - 3 + turned_down - 1e-3 <= level <= -29 + 3 + 1e-3 for level in measured)
        for names, speaker in zip(mixture.recordings, mixture.speakers, strict=True):
            assert {name[0] for name in names} == {speaker}


def test_min_cuts_and_max_fills_up() -> None:
    shortest = make_mixture(material(), TOGETHER, 1, 0)
    longest = make_mixture(material(), dataclasses.replace(TOGETHER, length="max"), 1, 0)
    assert shortest.recordings == longest.recordings
    num_samples = shortest.references.shape[1]
    assert num_samples >= 2.0 * RATE
    assert longest.references.shape[1] > num_samples
    assert shortest.overlap_ratio == 1.0
    assert (longest.references[:, -1] == 0).any()
    assert longest.overlap_ratio == pytest.approx(num_samples / longest.references.shape[1])


def test_loud_mixtures_are_turned_down_as_a_whole() -> None:
    options = dataclasses.replace(TOGETHER, level_db=60.0)  # up to 1 LUFS
    mixtures = [make_mixture(material(), options, 2, number) for number in range(10)]
    peaks = [float(np.abs(mixture.clean).max()) for mixture in mixtures]
    assert max(peaks) == pytest.approx(0.9, abs=1e-4)


def test_noise_has_the_wanted_level() -> None:
    options = dataclasses.replace(TOGETHER, snr_db=(7.0, 7.0))
    mixture = make_mixture(material(noises={"rain": noise(0.5, 99)}), options, 0, 0)
    assert mixture.noise is not None and mixture.noise_name == "rain"
    ratio = np.square(mixture.clean).mean() / np.square(mixture.noise).mean()
    assert 10 * np.log10(ratio) == pytest.approx(7.0, abs=1e-3)
    np.testing.assert_array_equal(mixture.noisy, mixture.clean + mixture.noise)


def test_rooms_delay_the_sources_they_reach() -> None:
    echo = np.zeros(400, np.float32)
    echo[300] = 1.0
    direct = np.array([1.0], np.float32)
    dry = make_mixture(material(), TOGETHER, 0, 0)
    heard = make_mixture(material(rooms=[[echo, echo]]), TOGETHER, 0, 0)
    same = make_mixture(material(rooms=[[direct, direct]]), TOGETHER, 0, 0)
    assert same.recordings == heard.recordings == dry.recordings
    for near, far in zip(same.references, heard.references, strict=True):
        near, far = near[:-300] / np.abs(near).max(), far[300:] / np.abs(far).max()
        assert np.corrcoef(near, far)[0, 1] > 0.999


@pytest.mark.parametrize("speakers", [2, 3])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5])
def test_conversations_overlap_as_much_as_wanted(speakers: int, ratio: float) -> None:
    options = MixOptions(
        num_speakers=speakers,
        sample_rate=RATE,
        style="conversation",
        max_seconds=60.0,
        overlap_ratio=ratio,
    )
    mixtures = [make_mixture(material(), options, 0, number) for number in range(5)]
    for mixture in mixtures:
        assert mixture.references.shape == (speakers, 60 * RATE)
        assert (np.abs(mixture.references) > 0).any(1).all()
        assert ((mixture.references != 0).sum(0) <= 2).all()
    assert np.mean([m.overlap_ratio for m in mixtures]) == pytest.approx(ratio, abs=0.06)


def test_a_pause_beyond_all_numbers_ends_a_conversation() -> None:
    options = dataclasses.replace(TOGETHER, style="conversation", pause_seconds=1e308)
    with pytest.raises(AudioError, match="turns too long for a conversation"):
        make_mixture(material(), options, 0, 0)


def test_unusable_recordings_are_passed_over() -> None:
    known = material()
    broken = dataclasses.replace(known, load=lambda name: None if "0" in name else known.load(name))
    for number in range(5):
        mixture = make_mixture(broken, TOGETHER, 0, number)
        assert not any("0" in name for names in mixture.recordings for name in names)


def test_a_speaker_without_usable_recordings_is_an_error() -> None:
    with pytest.raises(AudioError, match="no usable recording of speaker"):
        make_mixture(material(load=lambda name: None), TOGETHER, 0, 0)


def test_too_few_speakers_are_an_error() -> None:
    with pytest.raises(AudioError, match="too few speakers for mixtures of 5: 4"):
        make_mixture(material(), dataclasses.replace(TOGETHER, num_speakers=5), 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"overlap_ratio": 0.7},
        {"min_seconds": 6.0},
        {"snr_db": (5.0, 1.0)},
        {"min_seconds": 0.0},
        {"style": "conversation", "num_speakers": 1},
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(TOGETHER, **changes)  # type: ignore[arg-type]
