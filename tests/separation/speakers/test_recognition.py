"""Voices at given likenesses: who is known, and who is nobody known."""

import numpy as np
import pytest

from sepcli.separation.speakers.recognition import (
    KnownVoices,
    Recognised,
    likeness_to,
    recognise,
    voice_of,
)
from sepcli.separation.speakers.timeline import WINDOW_SECONDS
from tests.doubles import RATE, conversation, hear_bands

AXES = np.eye(4, dtype=np.float32)
KNOWN = KnownVoices(("alice", "bob"), AXES[:2], 0.5)


def like(*shares: float) -> np.ndarray:
    """Return a voice with these likenesses to the axes; the rest is nobody's."""
    rest = np.sqrt(1.0 - sum(share**2 for share in shares))
    return np.float32([*shares, *[0.0] * (3 - len(shares)), rest])


def names(*voices: np.ndarray) -> list[str | None]:
    return [each.name for each in recognise(np.stack(voices), KNOWN)]


def test_each_is_called_by_the_nearest_voice() -> None:
    assert names(like(0.1, 0.8), like(0.9, 0.2)) == ["bob", "alice"]


def test_below_the_threshold_is_nobody_known() -> None:
    first, second = recognise(np.stack([like(0.49, 0.2), like(0.51)]), KNOWN)
    assert first.name is None
    assert first.likeness == pytest.approx(0.49)
    assert second.name == "alice"
    assert second.likeness == pytest.approx(0.51)


def test_a_name_is_one_persons_and_all_together_are_most_alike() -> None:
    assert names(like(0.9), like(0.8)) == ["alice", None]
    assert names(like(0.7, 0.69), like(0.7, 0.1)) == ["bob", "alice"]  # greedily 0.7 + 0.1


def test_who_is_too_little_alike_takes_nobodys_name() -> None:
    # without the threshold first: 0.6 + 0.45 beats 0.7
    assert names(like(0.7, 0.45), like(0.6)) == ["alice", None]


def test_nobody_is_compared_where_nothing_is_heard() -> None:
    silent = np.zeros((2, 4), np.float32)
    assert recognise(silent, KNOWN) == (Recognised(), Recognised())
    assert recognise(silent[:, :0], KNOWN) == (Recognised(), Recognised())
    assert recognise(AXES[:2], None) == (Recognised(), Recognised())


def test_the_nearest_to_one_of_them() -> None:
    voices = np.stack([like(0.3, 0.9), like(0.4, 0.1)])
    assert likeness_to("alice", voices, KNOWN) == pytest.approx(0.4)
    assert likeness_to("alice", voices[:, :0], KNOWN) == 0.0


@pytest.mark.parametrize("seconds", [WINDOW_SECONDS, 4.0])
def test_a_voice_is_heard_over_pauses(seconds: float) -> None:
    speech = conversation("1", seconds)
    pause = np.zeros(2 * RATE, np.float32)
    pause[::100] = 1e-5  # a click in another band
    voice = voice_of(np.concatenate([pause, speech, pause]), RATE, hear_bands)
    assert np.linalg.norm(voice) == pytest.approx(1.0, abs=1e-5)
    assert voice @ hear_bands(speech, RATE) > 0.99
