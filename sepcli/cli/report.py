"""What `sepcli separate` tells while it works: progress, results, failures, summary."""

from collections.abc import Sequence
from typing import Any

from sepcli.audio import read_info
from sepcli.cli import console
from sepcli.cli.loading import Separate
from sepcli.cli.pages import PageOfRun
from sepcli.cli.tally import Tally, lines
from sepcli.errors import SepcliError
from sepcli.files import printable
from sepcli.models.entry import ModelEntry
from sepcli.models.registry import find_entry
from sepcli.separation.channels import write_channels
from sepcli.separation.jobs import Failure, Job
from sepcli.separation.manifest import outcome_rows
from sepcli.separation.outcome import Outcome
from sepcli.separation.speakers import Recognised
from sepcli.separation.writing import Delivery, OutputOptions

# Recommended in place of the built-in model: for telephone rates, and for all others.
LARGER_MODELS = ("spgm-base", "tiger-speech")
WIDE_HZ = 16_000


def suggest_model(entry: ModelEntry, job: Job) -> None:
    """Say, on a terminal, which model does better than the default on such a recording."""
    if not console.has_terminal() or job.source is None:
        return
    try:
        rate = read_info(job.source).sample_rate
    except SepcliError:
        return  # said when the recording is read
    larger = find_entry(LARGER_MODELS[rate >= WIDE_HZ])
    size = f"{larger.download_bytes / 1e6:.0f} MB"
    console.note(f"model: {entry.name}; better on such recordings: --model {larger.name} ({size})")


class Report:
    """Counts and tells what became of every input.

    Args:
        as_json: One JSON object a recording instead of one path a line.
        num_jobs: How many inputs there are.
        in_rows: Whether they come from a manifest, and the objects make one: those of what failed
            are left out.
        page: Shows what was separated; None where none was asked for.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        num_jobs: int,
        in_rows: bool = False,
        page: PageOfRun | None = None,
    ) -> None:
        self._as_json = as_json
        self._in_rows = in_rows
        self._page = page
        self._tally = Tally(num_jobs)
        self._said: set[str] = set()

    def run(
        self, separate: Separate, entry: ModelEntry, jobs: Sequence[Job], options: OutputOptions
    ) -> None:
        """Separate all jobs, telling of each as it is done."""
        many = len(jobs) > 1
        title = f"separating {len(jobs)} recordings" if many else f"separating {jobs[0].label}"
        with console.progress(title) as bar, lines(self._tally, title):

            def on_read(seconds: float) -> None:
                bar.update(total=self._tally.add_read(seconds))

            def on_chunk(seconds: float) -> None:
                bar.advance(seconds)
                self._tally.add_separated(seconds)

            for outcome in separate(jobs, options, on_read, on_chunk):
                self.tell(outcome, entry)
                if self._page is not None and outcome.error is None:
                    self._page.show(outcome)

    def run_channels(self, jobs: Sequence[Job], options: OutputOptions) -> None:
        """Write the channels of all jobs as they are, telling of each as it is done."""
        with lines(self._tally, f"writing the channels of {len(jobs)} recordings"):
            for outcome in write_channels(jobs, options):
                self._tally.add_separated(outcome.seconds)
                self.tell(outcome, None)

    def tell(self, outcome: Outcome, entry: ModelEntry | None) -> None:
        """Tell of one recording that was done, skipped or failed, by which model if by any."""
        label = outcome.job.label
        if outcome.error is not None:
            self.failed(label, outcome.error)
            return
        try:
            rows = outcome_rows(outcome) if self._as_json and outcome.job.row is not None else ()
        except SepcliError as error:  # an output that is there and is no recording
            self.failed(label, error)
            return
        if outcome.skipped:
            self._tally.num_skipped += 1
            console.detail(f"skipped, its outputs are there: {label}")
        else:
            self._tally.num_done += 1
        for warning in outcome.warnings:
            console.warn(_named(warning, label))
        for remark in outcome.notes:
            self._once(remark, label)
        for place in outcome.delivery.uncertain if outcome.delivery else ():
            span = f"{clock(place.start_seconds)} to {clock(place.stop_seconds)}"
            console.detail(f"not sure who is who at {span}, margin {place.margin:.2f}: {label}")
        if not self._as_json:
            if not outcome.skipped:
                console.result(*map(str, outcome.outputs))
            return
        if outcome.job.row is not None:
            console.result_json(*rows)
        else:
            console.result_json(_record(outcome, entry))

    def tell_failures(self, failures: Sequence[Failure]) -> None:
        """Tell of inputs that there is nothing to do for."""
        for failure in failures:
            self.failed(failure.label, failure.error)

    def failed(self, label: str, error: SepcliError) -> None:
        """Tell of an input that could not be done."""
        self._tally.num_failed += 1
        if self._page is not None:
            self._page.miss(label, error.message)
        if label in error.message or printable(label) in error.message:
            console.error(error)
        else:
            named = type(error)(f"{label}: {error.message}", error.hint)
            named.__cause__ = error.__cause__
            console.error(named)
        if self._as_json and not self._in_rows:
            console.result_json({"input": label, "error": error.message, "hint": error.hint})

    def finish(self) -> int:
        """Tell how it went, where there is more to tell than was told; return the exit code."""
        tally = self._tally
        is_log = not console.has_terminal() and (tally.num_jobs > 1 or tally.has_spoken)
        if is_log or (tally.num_failed and tally.num_jobs > 1):
            console.note(tally.summary())
        elif tally.num_jobs > 1:
            console.detail(tally.summary())
        failure = self._page.finish() if self._page is not None else None
        if failure is not None:
            console.error(failure)
        return 1 if tally.num_failed or failure else 0

    def _once(self, remark: str, label: str) -> None:
        """Say a remark for the first recording it holds for; `--verbose` says it for all."""
        text = _named(remark, label)
        if remark in self._said:
            console.detail(text)
        else:
            console.note(text)
        self._said.add(remark)


def _record(outcome: Outcome, entry: ModelEntry | None) -> dict[str, Any]:
    """Return what `--json` says of a recording that was done or skipped."""
    record: dict[str, Any] = {
        "input": outcome.job.label,
        "outputs": [str(output) for output in outcome.outputs],
        "model": entry.name if entry is not None else None,
        "skipped": outcome.skipped,
    }
    if not outcome.skipped:
        record |= {
            "seconds": round(outcome.seconds, 3),
            "elapsed_seconds": round(outcome.elapsed, 3),
            "notes": [*outcome.warnings, *outcome.notes],
        }
    if outcome.delivery is not None:
        record |= {
            "sample_rate": outcome.delivery.sample_rate,
            "gain_db": round(outcome.delivery.gain_db, 2),
            **_conversation(outcome.delivery),
            **_segments(outcome),
            "uncertain": [
                {
                    "start_seconds": round(place.start_seconds, 2),
                    "end_seconds": round(place.stop_seconds, 2),
                    "margin": round(place.margin, 3),
                }
                for place in outcome.delivery.uncertain
            ],
        }
    return record


def _conversation(delivery: Delivery) -> dict[str, Any]:
    """Return who speaks when, as it stands in a record."""
    names, turns, recognised = delivery.cast.names, delivery.turns, delivery.cast.recognised
    is_compared = any(each.likeness is not None for each in recognised)
    return {
        "speakers": [
            {
                "name": name,
                "output": str(output),
                **({} if channel is None else {"channel": channel}),
                "seconds": round(sum(t.seconds for t in turns if t.speaker == number), 2),
                **(_likeness(recognised[number]) if is_compared else {}),
            }
            for number, (name, (output, channel)) in enumerate(
                zip(names, delivery.places, strict=True)
            )
        ],
        "turns": [
            {
                "speaker": names[turn.speaker],
                "start_seconds": round(turn.start_seconds, 2),
                "end_seconds": round(turn.stop_seconds, 2),
            }
            for turn in turns
        ],
    }


def _segments(outcome: Outcome) -> dict[str, Any]:
    """Return where utterances were cut out to, as it stands in a record."""
    folder = outcome.job.segments
    if folder is None or outcome.delivery is None or not outcome.outputs:
        return {}
    return {"segments": {"folder": str(folder), "count": outcome.delivery.num_segments}}


def _likeness(recognised: Recognised) -> dict[str, Any]:
    """Return whose voice that is, if a known one, and how alike it is to it or the nearest."""
    likeness = recognised.likeness
    return {
        "voice": recognised.name,
        "likeness": None if likeness is None else round(likeness, 3),
    }


def _named(remark: str, label: str) -> str:
    """Return a remark with the recording it is about, unless it names that itself."""
    return remark if label in remark else f"{remark}: {label}"


def clock(seconds: float) -> str:
    """Return a time as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
