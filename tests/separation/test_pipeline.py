"""Chunks of many recordings through one network, in both modes of composing."""

import numpy as np
import pytest
import torch

from sepcli.audio import WaveformReader
from sepcli.errors import DeviceError, OutputError
from sepcli.separation.casting import cast_people
from sepcli.separation.composing import compose
from sepcli.separation.pipeline import _Done
from sepcli.separation.recording import Recording
from sepcli.separation.scratch import Spool
from sepcli.separation.separator import SeparationOptions, Separator
from tests.doubles import RATE, Identity, conversation, entry, hear_bands
from tests.separation.runs import MODES, both_modes

TALK = conversation("0202", 2.0)
RECORDINGS = {"talk": TALK, "short": TALK[: RATE // 2], "silent": np.zeros(3 * RATE, np.float32)}


class Swapping(Identity):
    """Gives speakers in an order that depends on the chunk alone, whatever batch it is in."""

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        estimates = super().forward(mixture)
        is_swapped = mixture[:, mixture.shape[1] // 2] > 0
        return torch.where(is_swapped[:, None, None], estimates.flip(1), estimates)


def separated(network: torch.nn.Module, batch: int, mode: str) -> dict[str, np.ndarray]:
    """Return the files of all recordings, `[speakers, samples]`; their chunks share batches."""
    options = SeparationOptions(batch_size=batch, device="cpu", **MODES[mode])  # type: ignore[arg-type]
    separator = Separator(network, entry(level="as-is"), options, embed=hear_bands)
    plan = separator.pipeline.plan
    recordings = {
        name: Recording(WaveformReader(waveform, RATE), plan, Spool(2))
        for name, waveform in RECORDINGS.items()
    }
    done = list(separator.pipeline.process(recordings.values()))
    assert {id(recording) for recording, _ in done} == {*map(id, recordings.values())}
    assert [failure for _, failure in done if failure is not None] == []
    files = {}
    for name, recording in recordings.items():
        order = recording.solve()
        scene = recording.scene(order)
        blocks = compose(recording, order, scene, cast_people(plan, scene), RATE)
        files[name] = np.concatenate(list(blocks), axis=1)
    return files


@both_modes
@pytest.mark.parametrize(("batch", "lanes"), [(4, 1), (1, 2), (3, 2)])
def test_batches_and_lanes_do_not_change_the_answer(
    batch: int, lanes: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcli.separation.pipeline.num_lanes", lambda device: 1)
    alone = separated(Swapping(), 1, mode)
    monkeypatch.setattr("sepcli.separation.pipeline.num_lanes", lambda device: lanes)
    together = separated(Swapping(), batch, mode)
    for name, waveform in RECORDINGS.items():
        assert alone[name].shape == (2, len(waveform))
        np.testing.assert_array_equal(alone[name], together[name])
    assert not alone["silent"].any()


@both_modes
def test_estimates_or_the_recording_itself(mode: str) -> None:
    files = separated(Identity((0.5, 0.5)), 1, mode)
    total = files["talk"].sum(axis=0)
    np.testing.assert_allclose(
        total[RATE // 10 : -RATE // 10], TALK[RATE // 10 : -RATE // 10], atol=1e-6
    )
    together = (files["talk"] != 0.0).all(axis=0).mean()
    assert together < 0.1 if mode == "original" else together > 0.9


def test_a_recording_that_fails_in_two_places_at_once_is_given_back_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = SeparationOptions(device="cpu")
    pipeline = Separator(Identity(), entry(), options, embed=hear_bands).pipeline
    recording = Recording(WaveformReader(TALK, RATE), pipeline.plan, Spool(2))
    failures = []

    def accept(*_: object) -> None:  # meanwhile a lane fails with the next chunk
        assert recording.give_up()
        failures.append(_Done(recording, failure=DeviceError("out of memory", "")))
        raise OutputError("the disk is full", "")

    monkeypatch.setattr(recording, "accept", accept)
    mixture = recording.mixture(0)
    told = list(pipeline._accept([_Done(recording, mixture, np.stack([mixture, mixture]))]))
    told += pipeline._accept(failures)
    assert [each for each, _ in told] == [recording]
