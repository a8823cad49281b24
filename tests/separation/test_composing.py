"""Files of people, with a scene that is given and a network whose answers are known."""

import numpy as np
import pytest

from sepcli.audio import WaveformReader
from sepcli.separation.casting import cast_everybody, cast_people
from sepcli.separation.composing import compose
from sepcli.separation.recording import Recording
from sepcli.separation.scratch import Spool
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.speakers import Recognised, Scene, Stretch
from tests.doubles import RATE, Identity, entry

SCENE = Scene(
    2,
    (
        Stretch(50, 150, ((0, 0),)),
        Stretch(150, 250, ((0, 0), (1, 1))),
        Stretch(300, 400, ((1, 1),)),
    ),
    (),
    np.zeros((2, 4), np.float32),
)
CAST = cast_everybody([Recognised(), Recognised()], 2)
FADE = 0.02  # s around a border


def composed(
    rate: int,
    network: Identity | None = None,
    *,
    scene: Scene = SCENE,
    seconds: float = 4.5,
    **options: object,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a recording and its files; estimates are 3/4 and 1/4 of it."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)
    separator = Separator(
        network or Identity(),
        entry(level="as-is"),
        SeparationOptions(**options),  # type: ignore[arg-type]
    )
    recording = Recording(WaveformReader(noise, rate), separator.pipeline.plan, Spool(2))
    for _, failure in separator.pipeline.process([recording]):
        assert failure is None
    blocks = compose(recording, recording.solve(), scene, CAST, rate)
    return noise, np.concatenate(list(blocks), axis=1)


def between(files: np.ndarray, rate: int, start: float, stop: float) -> np.ndarray:
    return files[..., round((start + FADE) * rate) : round((stop - FADE) * rate)]


@pytest.mark.parametrize("rate", [RATE, 16_000, 44_100])
def test_who_is_alone_gets_the_recording_sample_for_sample(rate: int) -> None:
    noise, files = composed(rate)
    assert files.shape == (2, len(noise))
    for person, other, start, stop in ((0, 1, 0.5, 1.5), (1, 0, 3.0, 4.0)):
        np.testing.assert_array_equal(
            between(files[person], rate, start, stop), between(noise, rate, start, stop)
        )
        assert not between(files[other], rate, start, stop).any()
    assert not between(files, rate, -FADE, 0.5).any()
    assert not between(files, rate, 2.5, 3.0).any()


@pytest.mark.parametrize("rate", [RATE, 16_000, 44_100])
@pytest.mark.parametrize("seconds", [1.004, 4.0, 4.5])
def test_the_ends_of_a_recording_are_no_borders(rate: int, seconds: float) -> None:
    scene = Scene(2, (Stretch(0, round(100 * seconds + 0.5), ((0, 0),)),), (), SCENE.voices)
    noise, files = composed(rate, scene=scene, seconds=seconds)
    np.testing.assert_array_equal(files[0], noise)
    assert not files[1].any()


def test_overlaps_keep_the_whole_band() -> None:
    rate = 16_000
    noise, files = composed(rate)
    # both shares of what is above 4 kHz add up to it, as the estimates do to what is below
    np.testing.assert_allclose(
        between(files.sum(axis=0), rate, 1.5, 2.5), between(noise, rate, 1.5, 2.5), atol=1e-5
    )
    dull = composed(rate, bandwidth="model")[1]
    spectrum = np.abs(np.fft.rfft(between(dull.sum(axis=0), rate, 1.5, 2.5)))
    assert spectrum[len(spectrum) * 3 // 4 :].max() < 0.01 * spectrum.max()


def test_who_is_alone_gets_all_estimates_where_nobody_wants_the_original() -> None:
    noise, files = composed(RATE, Identity((0.6, 0.2)), outside_overlap="separated")
    for person, other, start, stop in ((0, 1, 0.5, 1.5), (1, 0, 3.0, 4.0)):
        np.testing.assert_allclose(
            between(files[person], RATE, start, stop),
            0.8 * between(noise, RATE, start, stop),
            atol=1e-6,
        )
        assert not between(files[other], RATE, start, stop).any()
    np.testing.assert_allclose(
        between(files[0], RATE, 1.5, 2.5), 0.6 * between(noise, RATE, 1.5, 2.5), atol=1e-6
    )


def test_estimates_are_all_there_where_one_person_is_found() -> None:
    seconds = 20
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, seconds * RATE).astype(np.float32)
    options = SeparationOptions(outside_overlap="separated", bandwidth="model")
    plan = Separator(Identity(), entry(level="as-is"), options).pipeline.plan
    recording = Recording(WaveformReader(noise, RATE), plan, Spool(2))
    pipeline = Separator(Identity(), entry(level="as-is"), options).pipeline
    assert [failure for _, failure in pipeline.process([recording])] == [None]
    order = recording.solve()
    for with_turns in (False, True):
        scene = recording.scene(order, with_turns=with_turns)
        cast = cast_people(plan, scene)
        files = np.concatenate([*compose(recording, order, scene, cast, RATE)], axis=1)
        np.testing.assert_allclose(
            np.sort(files, axis=0), np.sort([0.75 * noise, 0.25 * noise], axis=0), atol=1e-6
        )
    turns = cast.turns_in_files(scene.turns)
    assert {turn.speaker for turn in turns} == {int(np.abs(files).sum(axis=1).argmax())}
