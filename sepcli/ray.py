"""Separation as a stage of Ray Data: `dataset.map_batches(Separate, …)`.

The stage does not need Ray itself: it is called with columns and gives a table.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sepcli.errors import SepcliError, UsageError
from sepcli.models.registry import DEFAULT_MODEL
from sepcli.separation.batch import separate_jobs
from sepcli.separation.jobs import Job, job_of
from sepcli.separation.manifest import carry, outcome_rows, parse_row
from sepcli.separation.outcome import Outcome
from sepcli.separation.separator import SeparationOptions, Separator
from sepcli.separation.writing import OutputOptions

# A batch does not know the others, so that no two recordings may have one name: `a.wav`, `a.flac`.
NAME = "{stem}_{ext}_spk{speaker}"


class Separate:
    """Separates batches of recordings: a class for `map_batches`, which loads its model once.

    A batch has the columns of one of these kinds; other columns are carried through, as in
    `sepcli separate --manifest`:

    - `amplitude`, `[samples]` or `[channels, samples]`, and `sample_rate`, as
      `ray.data.read_audio` gives them: each speaker becomes a row with its `amplitude`.
    - `audio_filepath`, perhaps with `offset` and `duration` [s], as in a manifest: files are
      written, and each speaker becomes a row with the path of its file.

    A recording that fails becomes one row whose `error` says why. In all other rows `error` is
    empty, and `warnings` lists what was wrong with the recording. A recording in which
    `options.only` is not heard becomes one row without an error, whose `speaker` is null.
    Weights are loaded with the first batch; copies of an object load their own.

    Args:
        model: Name of an entry, a model folder, or `hf:ORG/REPO`.
        output_dir: Where files go; a folder that all nodes see.
        root: Where relative paths start; files keep the folders of recordings below it.
        overwrite: Replace files that exist. Otherwise recordings whose files all exist are
            skipped, so that a batch which Ray runs again is not separated again.
        options: How the separator runs.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        output_dir: str | Path = "separated",
        root: str | Path = "/",
        overwrite: bool = False,
        options: SeparationOptions | None = None,
    ) -> None:
        self._model = model
        self._folder = Path(output_dir)
        self._root = Path(os.path.normpath(Path(root).absolute()))  # as those of recordings
        self._output = OutputOptions(
            overwrite=overwrite, skip_existing=not overwrite, tells_turns=False
        )
        self._options = options
        self._loaded: Separator | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy in another process needs: it loads weights of its own."""
        return {**self.__dict__, "_loaded": None}

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> Any:
        """Return the rows of a batch's speakers as a `pyarrow.Table`.

        Args:
            batch: Columns by name, as `map_batches(batch_format="numpy")` gives them.
        """
        return _table(self.rows(_rows(batch)))

    def rows(self, recordings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of the speakers of some recordings, those in memory first.

        Args:
            recordings: A dict of columns each.
        """
        done: list[dict[str, Any]] = []
        jobs: list[Job] = []
        for fields in recordings:
            try:
                if fields.get("amplitude") is not None:
                    done += self._in_memory(fields)
                else:
                    jobs.append(self._job(fields))
            except SepcliError as error:
                done.append(_failed(fields, error))
        for outcome in separate_jobs(self._separator.pipeline, jobs, self._output):
            try:
                if outcome.error is not None:
                    raise outcome.error
                told = {"error": "", "warnings": list(outcome.warnings)}
                rows = outcome_rows(outcome) or [_of_nobody(outcome)]
                done += [{**row, **told} for row in rows]
            except SepcliError as error:
                done.append(_failed(outcome.job.row or {}, error))
        return done

    @property
    def _separator(self) -> Separator:
        if self._loaded is None:
            self._loaded = Separator.from_pretrained(self._model, options=self._options)
        return self._loaded

    def _in_memory(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        if (rate := fields.get("sample_rate")) is None:
            raise UsageError("no sample_rate beside amplitude", "add a column with the rate in Hz")
        separation = self._separator.separate(fields["amplitude"], rate)
        others = {k: v for k, v in fields.items() if k not in ("amplitude", "sample_rate")}
        margins = separation.order.margins
        shared = {
            "duration": separation.estimates.shape[1] / separation.sample_rate,
            "sample_rate": separation.sample_rate,
            "margins": margins[np.isfinite(margins)].tolist(),
            "error": "",
            "warnings": list(separation.warnings),
        }
        speakers: list[tuple[Any, Any]] = [
            *zip(separation.names, separation.estimates, strict=True)
        ]
        return [
            carry(others, {"amplitude": estimate, "speaker": name, **shared})
            for name, estimate in speakers or [(None, None)]
        ]

    def _job(self, fields: Mapping[str, Any]) -> Job:
        row = parse_row(fields, "row of the dataset", self._root)
        if not row.source.is_relative_to(self._root):
            raise UsageError(
                f"recording is not below the root: {row.source}",
                f"give a root that holds all recordings, not {self._root}",
            )
        naming = self._separator.pipeline.plan.naming(self._folder, self._output.format, NAME)
        inside = row.source.parent.relative_to(self._root)
        return job_of(row.source, naming, inside, row.part, span=row.span, row=fields)


def _of_nobody(outcome: Outcome) -> dict[str, Any]:
    """Return the row of a recording in which the only person that is wanted is not heard."""
    keys = ("audio_filepath", "duration", "speaker", "sample_rate", "margins")
    own = dict.fromkeys(keys) | {"duration": round(outcome.seconds, 6)}
    return carry(outcome.job.row or {}, own)


def _failed(fields: Mapping[str, Any], error: SepcliError) -> dict[str, Any]:
    others = {key: value for key, value in fields.items() if key != "amplitude"}
    return carry(others, {"error": error.message})


def _rows(batch: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return columns as rows of plain values; a column of numbers has NaN where there is none."""
    columns = [[_plain(value) for value in column] for column in batch.values()]
    return [dict(zip(batch, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and plain != plain else plain


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a table; our own columns have the same type in every batch."""
    import pyarrow  # here: it comes with Ray

    types = {
        "audio_filepath": pyarrow.string(),
        "amplitude": pyarrow.list_(pyarrow.float32()),
        "duration": pyarrow.float64(),
        "speaker": pyarrow.string(),
        "sample_rate": pyarrow.int64(),
        "margins": pyarrow.list_(pyarrow.float64()),
        "error": pyarrow.string(),
        "warnings": pyarrow.list_(pyarrow.string()),
    }
    keys = dict.fromkeys(key for row in rows for key in row)
    return pyarrow.table(
        {key: pyarrow.array([row.get(key) for row in rows], types.get(key)) for key in keys}
    )
