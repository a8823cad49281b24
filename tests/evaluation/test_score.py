import importlib.util
import math

import numpy as np
import pytest
import torch

from sepcli.errors import AudioError, UsageError
from sepcli.evaluation.score import Scores, Tally, average, require_metrics, score

RATE = 8000
HAS_PESQ = importlib.util.find_spec("pesq") is not None  # it is compiled when it is installed


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def orthogonal(num_samples: int = RATE) -> np.ndarray:
    """Return two references and an error without a mean, at right angles, of equal power."""
    columns = np.linalg.qr(np.c_[np.ones(num_samples), noise(num_samples, 3)])[0][:, 1:]
    return (columns.T * math.sqrt(num_samples)).astype(np.float32)


def test_scores_are_those_of_the_closed_form() -> None:
    one, two, error = orthogonal()
    references = np.stack([one, two])
    estimates = np.stack([two + 0.1 * error, 5 * one + 0.5 * two])  # swapped, another scale
    found = score(estimates, references, one + two, RATE)
    assert found.order == (1, 0)
    assert found.values["si_sdr"] == pytest.approx([20.0, 20.0], abs=1e-3)
    assert found.values["si_sdri"] == pytest.approx([20.0, 20.0], abs=1e-3)
    assert found.remarks == ()


def test_sdr_is_that_of_fast_bss_eval() -> None:
    import fast_bss_eval

    references, errors = noise(2, RATE), noise(2, RATE, seed=1)
    estimates = (references + 0.2 * errors)[::-1].copy()
    found = score(estimates, references, references.sum(0), RATE, ["sdr"])
    truth = fast_bss_eval.sdr(*(torch.from_numpy(x).double() for x in (references, estimates)))
    assert found.values["sdr"] == pytest.approx(truth.tolist(), abs=1e-6)
    assert found.values["sdri"] == pytest.approx([s - 0.3 for s in found.values["sdr"]], abs=1.0)


@pytest.mark.skipif(not HAS_PESQ, reason="needs sepcli[pesq]")
def test_stoi_and_pesq_know_good_from_bad() -> None:
    time = np.arange(3 * RATE) / RATE
    envelope = (np.sin(2 * np.pi * 3 * time) > 0) * np.sin(2 * np.pi * 150 * time) ** 8
    reference = (noise(3 * RATE) * envelope).astype(np.float32)[None] * 0.3
    good = score(
        reference + 1e-3 * noise(1, 3 * RATE, seed=2), reference, None, RATE, ["stoi", "pesq"]
    )
    bad = score(0.3 * noise(1, 3 * RATE, seed=3), reference, None, RATE, ["stoi", "pesq"])
    assert good.values["stoi"][0] > 0.95 > 0.6 > bad.values["stoi"][0]
    assert good.values["pesq"][0] > bad.values["pesq"][0] + 1
    assert "si_sdri" not in good.values


def test_a_mixture_that_is_its_reference_is_said() -> None:
    voice = noise(1, RATE)
    found = score(voice + 0.1 * noise(1, RATE, seed=2), voice, voice[0], RATE)
    assert found.values["si_sdri"] == [-math.inf]
    assert found.remarks == ("a mixture that is its reference, no improvement, not in the means",)


@pytest.mark.skipif(not HAS_PESQ, reason="needs sepcli[pesq]")
def test_what_has_no_score_is_said() -> None:
    references = noise(2, RATE)
    silent = references * np.array([[1.0], [0.0]], np.float32)
    found = score(references, silent, references.sum(0), RATE, ["sdr", "stoi", "pesq"])
    assert math.isnan(found.values["si_sdr"][1]) and math.isnan(found.values["sdr"][1])
    assert "a silent reference, not in the means" in found.remarks
    half = score(silent, references, None, RATE)
    assert half.values["si_sdr"][1] == -math.inf
    assert "a silent estimate, -inf dB, not in the means" in half.remarks
    short = score(noise(2, 1000, seed=4), references[:, :1000], None, RATE, ["stoi", "pesq"])
    assert "no STOI: too short, silent or without speech" in short.remarks
    assert "no PESQ: too short, silent or without speech" in short.remarks


def test_more_estimates_than_references_are_fine_and_fewer_are_not() -> None:
    references = noise(2, RATE)
    extra = np.concatenate([noise(1, RATE, seed=5), references + 0.1 * noise(2, RATE, seed=6)])
    found = score(extra, references, None, RATE)
    assert found.order == (1, 2)
    assert found.remarks == ("more estimates than references, the best were taken",)
    with pytest.raises(AudioError, match="fewer estimates than references"):
        score(references[:1], references, None, RATE)
    with pytest.raises(AudioError, match="shorter than"):
        score(references[:, :700], references[:, :700], None, RATE)


def test_average_has_the_interval_of_student() -> None:
    found = average([1.0, 2.0, 3.0, math.nan, 4.0, math.inf])
    assert (found.mean, found.median, found.lowest, found.highest) == (2.5, 2.5, 1.0, 4.0)
    assert found.count == 4
    # t(0.975, 3) = 3.182446, s = sqrt(5/3)
    assert found.margin == pytest.approx(3.182446 * math.sqrt(5 / 3) / 2, abs=1e-5)
    assert math.isnan(average([1.0]).margin)
    assert average([]).count == 0


def test_recordings_weigh_the_same_whatever_their_speakers() -> None:
    tally = Tally()
    tally.add(Scores({"si_sdr": [0.0, 2.0]}, (0, 1)))
    tally.add(Scores({"si_sdr": [5.0, math.nan]}, (0, 1), ("odd",)))
    tally.add(Scores({"si_sdr": [math.nan]}, (0,), ("odd",)))
    assert tally.averages()["si_sdr"].mean == 3.0
    assert tally.averages()["si_sdr"].count == 2
    assert tally.remarks == {"odd": 2}


def test_unknown_and_missing_metrics_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown metric: sddr"):
        require_metrics(["sddr"])
    monkeypatch.setattr("sepcli.evaluation.score.PACKAGES", {"sdr": "no_such_package"})
    with pytest.raises(Exception, match="package missing for metric: sdr"):
        require_metrics(["sdr"])
