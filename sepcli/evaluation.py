"""Estimates judged against references: scores of a recording, and what they sum up to.

A test set is a folder in the layout of WSJ0-2mix or LibriMix: `s1`, `s2`, … hold the references
and `mix`, `mix_clean` or `mix_both` the mixtures, a recording having one name in all of them.
What cannot be scored is counted and said, never dropped.
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from sepcli.audio import AudioReader, downmix, find_audio_files, printable, resample_blocks
from sepcli.errors import AudioError, SepcliError, UsageError
from sepcli.metrics import best_order, pairwise_si_sdr, si_sdr

Waveforms = npt.NDArray[np.float32]

MIXTURE_FOLDERS = ("mix", "mix_clean", "mix_both", "mixture")
EXTRA_METRICS = ("sdr", "stoi", "pesq")
PACKAGES = {"sdr": "fast_bss_eval", "stoi": "pystoi", "pesq": "pesq"}
INSTALL_HINT = "install them with: pip install 'sepcli[metrics]'"
CONFIDENCE = 0.95
MIN_SECONDS = 0.1  # below it, SI-SDR is a matter of a few samples
SDR_TAPS = 512  # of the distortion filter that BSS Eval allows
PESQ_RATES = {8000: "nb", 16000: "wb"}
LAYOUT_HINT = "lay it out as FOLDER/{mix,s1,s2}/NAME.wav, as WSJ0-2mix and LibriMix are"


@dataclass(frozen=True)
class Item:
    """One recording of a test set.

    Attributes:
        name: Path below the folders of the set.
        references: One file per speaker.
        mixture: What was recorded, where the set holds it.
    """

    name: str
    references: tuple[Path, ...]
    mixture: Path | None


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


def find_items(folder: Path, mixtures: str = "") -> tuple[list[Item], str]:
    """Return the recordings of a test set, sorted, and the folder of mixtures that was taken.

    Args:
        folder: Holds `s1`, `s2`, … and perhaps mixtures.
        mixtures: Which of its folders holds the mixtures; empty for the first there is.

    Raises:
        AudioError: It has no such layout, or a folder has no recordings.
        UsageError: The folder of mixtures is not there.
    """
    if not folder.is_dir():
        raise AudioError(f"no such folder: {printable(folder)}", LAYOUT_HINT)
    sources: list[Path] = []
    while (folder / f"s{len(sources) + 1}").is_dir():
        sources.append(folder / f"s{len(sources) + 1}")
    if not sources:
        within = sorted(path.parent.name for path in folder.glob("*/s1"))
        hint = f"name one of its parts: {', '.join(within)}" if within else LAYOUT_HINT
        raise AudioError(f"no references (s1, s2, …) in: {printable(folder)}", hint)
    there = [name for name in MIXTURE_FOLDERS if (folder / name).is_dir()]
    if mixtures and not (folder / mixtures).is_dir():
        raise UsageError(
            f"no such folder: {printable(folder / mixtures)}",
            f"there is: {', '.join(there)}" if there else LAYOUT_HINT,
        )
    chosen = mixtures or next(iter(there), "")
    roots = [*sources, *([folder / chosen] if chosen else [])]
    files: dict[str, dict[Path, Path]] = {}
    for root in roots:
        for path in find_audio_files(root, recursive=True):
            name = str(path.relative_to(root).with_suffix(""))
            files.setdefault(name, {})[root] = path
    if not files:
        raise AudioError(f"no recordings in: {printable(folder)}", LAYOUT_HINT)
    # A file that is missing keeps its place: reading it fails, which is counted.
    tracks = {
        name: [found.get(root, root / name) for root in roots] for name, found in files.items()
    }
    count = len(sources)
    items = [
        Item(name, tuple(paths[:count]), paths[count] if chosen else None)
        for name, paths in sorted(tracks.items())
    ]
    return items, chosen


def find_estimates(folder: Path, name: str) -> list[Path]:
    """Return the estimates of a recording, `NAME_spk1.*`, … or `s1/NAME.*`, …; may be empty."""
    stem = Path(name)
    for pattern in (f"{stem}_spk{{}}", f"s{{}}/{stem}"):
        found: list[Path] = []
        while True:
            base = folder / pattern.format(len(found) + 1)
            files = [p for p in base.parent.glob("*") if p.stem == base.name and p.is_file()]
            if not files:
                break
            found.append(min(files))
        if found:
            return found
    return []


def read(paths: Sequence[Path]) -> tuple[Waveforms, int, bool]:
    """Return recordings as `[files, samples]`, their rate, and whether lengths differed.

    Channels are mixed down; longer ones are cut to the shortest.

    Raises:
        AudioError: One cannot be read, or rates differ.
    """
    waveforms, rates = [], set()
    for path in paths:
        with AudioReader(path) as reader:
            blocks = [downmix(block) for block in reader.blocks()]
            waveforms.append(np.concatenate([*blocks, np.zeros(0, np.float32)]))
            rates.add(reader.info.sample_rate)
    if len(rates) > 1:
        raise AudioError(f"sample rates differ: {', '.join(map(str, sorted(rates)))}")
    lengths = {len(waveform) for waveform in waveforms}
    cut = np.stack([waveform[: min(lengths)] for waveform in waveforms])
    return cut, rates.pop(), len(lengths) > 1


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
        extras: Further metrics, of `EXTRA_METRICS`.

    Raises:
        AudioError: There are fewer estimates than references, or next to no samples.
    """
    if len(estimates) < len(references):
        raise AudioError("fewer estimates than references")
    if references.shape[1] < MIN_SECONDS * sample_rate:
        raise AudioError(f"shorter than {MIN_SECONDS:g} s")
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
    import importlib.util

    for metric in extras:
        if metric not in PACKAGES:
            known = ", ".join(EXTRA_METRICS)
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
    if num_estimates > num_references:
        found.append("more estimates than references, the best were taken")
    for metric in EXTRA_METRICS:
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
    pair = [_resampled(x, sample_rate, rate) for x in (reference, estimate)]
    try:
        return float(pesq.pesq(rate, *pair, PESQ_RATES[rate]))
    except pesq.PesqError:
        return math.nan


def _resampled(waveform: Waveforms, in_rate: int, out_rate: int) -> Waveforms:
    if in_rate == out_rate:
        return waveform
    return np.concatenate(list(resample_blocks([waveform], in_rate, out_rate)))
