"""Estimates judged against references: scores of a recording, and what they sum up to.

What cannot be scored is counted and said, never dropped.
"""

import importlib.util
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from sepcli.audio import resample_blocks
from sepcli.errors import AudioError, SepcliError, UsageError
from sepcli.evaluation.metrics import best_order, pairwise_si_sdr, si_sdr

Waveforms = npt.NDArray[np.float32]

PACKAGES = {"sdr": "fast_bss_eval", "stoi": "pystoi", "pesq": "pesq"}
INSTALL_HINT = "install them with: pip install 'sepcli[metrics,pesq]'"
CONFIDENCE = 0.95
MIN_SECONDS = 0.1  # below it, SI-SDR is a matter of a few samples
SDR_TAPS = 512  # of the distortion filter that BSS Eval allows
PESQ_RATES = {8000: "nb", 16000: "wb"}


@dataclass(frozen=True)
class Scores:
    """What one recording scored; lists have one entry per reference, nan where not defined.

    Attributes:
        values: Metric → score of each reference.
        order: Which estimate was matched with each reference, from 0.
        remarks: What was unusual, each from a small set of texts.
    """

    values: dict[str, list[float]]
    order: tuple[int, ...]
    remarks: tuple[str, ...] = ()

    def mean(self, metric: str) -> float:
        """Return the mean over the references that have a finite score; nan without any."""
        finite = [value for value in self.values[metric] if math.isfinite(value)]
        return math.fsum(finite) / len(finite) if finite else math.nan


@dataclass(frozen=True)
class Average:
    """A metric over a test set; recordings are independent, speakers of one are not.

    Attributes:
        mean: Over recordings.
        margin: Half the width of the 95 % confidence interval of the mean; nan for one recording.
        median: Over recordings.
        lowest: Worst recording.
        highest: Best recording.
        count: Recordings with a score.
    """

    mean: float
    margin: float
    median: float
    lowest: float
    highest: float
    count: int


@dataclass
class Tally:
    """What a test set came to."""

    scores: list[Scores] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, scores: Scores) -> None:
        """Count a recording that was scored."""
        self.scores.append(scores)
        self.remarks.update(scores.remarks)

    def averages(self) -> dict[str, Average]:
        """Return what each metric came to, over the recordings that have a score."""
        metrics = dict.fromkeys(name for scores in self.scores for name in scores.values)
        found = {name: [scores.mean(name) for scores in self.scores] for name in metrics}
        return {name: average(values) for name, values in found.items()}


def average(values: Iterable[float]) -> Average:
    """Return mean and confidence interval (Student's t) of the values that are numbers."""
    numbers = np.array([value for value in values if math.isfinite(value)])
    if not len(numbers):
        nan = math.nan
        return Average(nan, nan, nan, nan, nan, 0)
    margin = math.nan
    if len(numbers) > 1:
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(numbers) - 1))
        margin = quantile * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return Average(
        float(numbers.mean()),
        margin,
        float(np.median(numbers)),
        float(numbers.min()),
        float(numbers.max()),
        len(numbers),
    )


def score(
    estimates: Waveforms,
    references: Waveforms,
    mixture: Waveforms | None,
    sample_rate: int,
    extras: Sequence[str] = (),
) -> Scores:
    """Return the scores of one recording, its estimates in the order that fits best.

    Args:
        estimates: `[estimates, samples]`, at least as many as references.
        references: `[speakers, samples]`.
        mixture: `[samples]`, or None: then nothing is said about improvement.
        sample_rate: Of all [Hz].
        extras: Further metrics, keys of `PACKAGES`.

    Raises:
        AudioError: There are fewer estimates than references, or next to no samples.
    """
    if len(estimates) < len(references):
        raise AudioError(
            f"fewer estimates than references: {len(estimates)} of {len(references)}",
            "choose a model with as many speakers: sepcli info; or give all of their files",
        )
    if references.shape[1] < MIN_SECONDS * sample_rate:
        raise AudioError(
            f"shorter than {MIN_SECONDS:g} s", "leave it out of the set: nothing can be said of it"
        )
    table = pairwise_si_sdr(estimates, references)
    order = [int(place) for place in best_order(table)]
    matched = estimates[order]
    own = table[order, range(len(references))]
    values = {"si_sdr": own.tolist()}
    if mixture is not None:
        values["si_sdri"] = (own - si_sdr(mixture[None], references)).tolist()
    for metric in extras:
        rows = zip(matched, references, strict=True)
        values[metric] = [_extra(metric, guess, truth, sample_rate) for guess, truth in rows]
    if "sdr" in extras and mixture is not None:
        before = [_extra("sdr", mixture, truth, sample_rate) for truth in references]
        values["sdri"] = [a - b for a, b in zip(values["sdr"], before, strict=True)]
    return Scores(values, tuple(order), tuple(_remarks(values, len(estimates), len(references))))


def require_metrics(extras: Sequence[str]) -> None:
    """Refuse metrics that are unknown or whose package is not installed.

    Raises:
        UsageError: A metric is unknown.
        SepcliError: Its package is missing.
    """
    for metric in extras:
        if metric not in PACKAGES:
            known = ", ".join(PACKAGES)
            raise UsageError(f"unknown metric: {metric}", f"choose from: {known}")
        if importlib.util.find_spec(PACKAGES[metric]) is None:
            raise SepcliError(f"package missing for metric: {metric}", INSTALL_HINT)


def _remarks(values: dict[str, list[float]], num_estimates: int, num_references: int) -> list[str]:
    """Return what is unusual about a recording's scores."""
    found = []
    if any(math.isnan(value) for value in values["si_sdr"]):
        found.append("a silent reference, not in the means")
    if -math.inf in values["si_sdr"]:
        found.append("a silent estimate, -inf dB, not in the means")
    if math.inf in values["si_sdr"]:
        found.append("an exact estimate, inf dB, not in the means")
    own = values["si_sdr"]
    if any(
        math.isfinite(value) and not math.isfinite(gain)
        for value, gain in zip(own, values.get("si_sdri", own), strict=True)
    ):
        found.append("a mixture that is its reference, no improvement, not in the means")
    if num_estimates > num_references:
        found.append("more estimates than references, the best were taken")
    for metric in PACKAGES:
        pairs = zip(values.get(metric, ()), values["si_sdr"], strict=False)
        if any(math.isnan(value) and not math.isnan(own) for value, own in pairs):
            found.append(f"no {metric.upper()}: too short, silent or without speech")
    return found


def _extra(metric: str, estimate: Waveforms, reference: Waveforms, sample_rate: int) -> float:
    """Return SDR [dB], STOI or PESQ of one pair; nan where it is not defined."""
    if not reference.any() or not estimate.any():
        return math.nan
    if metric == "sdr":
        return _sdr(estimate, reference)
    if metric == "stoi":
        return _stoi(estimate, reference, sample_rate)
    return _pesq(estimate, reference, sample_rate)


def _sdr(estimate: Waveforms, reference: Waveforms) -> float:
    import fast_bss_eval

    pair = [torch.from_numpy(x).double().unsqueeze(0) for x in (estimate, reference)]
    try:
        loss: Any = fast_bss_eval.sdr_loss(*pair, filter_length=SDR_TAPS)
    except RuntimeError:  # the reference has too few frequencies for that many taps
        return math.nan
    return -float(loss[0])


def _stoi(estimate: Waveforms, reference: Waveforms, sample_rate: int) -> float:
    import pystoi

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # how it says that there is too little
        try:
            return float(pystoi.stoi(reference, estimate, sample_rate))
        except (RuntimeWarning, ValueError):
            return math.nan


def _pesq(estimate: Waveforms, reference: Waveforms, sample_rate: int) -> float:
    import pesq

    rate = sample_rate if sample_rate in PESQ_RATES else 16000
    pair = [
        np.concatenate([*resample_blocks([x], sample_rate, rate)]) for x in (reference, estimate)
    ]
    try:
        return float(pesq.pesq(rate, *pair, PESQ_RATES[rate]))
    except pesq.PesqError:
        return math.nan
