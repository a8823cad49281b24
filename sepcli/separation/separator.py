"""Separator: a loaded network, and one recording through it, in memory or from file to files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from sepcli.audio import WaveformReader
from sepcli.errors import DeviceError, OutputError, UsageError
from sepcli.models.entry import ModelEntry
from sepcli.models.load import load_model
from sepcli.models.registry import DEFAULT_MODEL
from sepcli.models.resolve import resolve_model
from sepcli.separation.batch import separate_jobs
from sepcli.separation.casting import cast_people
from sepcli.separation.composing import compose
from sepcli.separation.jobs import job_of
from sepcli.separation.naming import DEFAULT_NAME, check_speaker_names
from sepcli.separation.pipeline import Pipeline, silent
from sepcli.separation.plan import SeparationOptions
from sepcli.separation.recording import Recording
from sepcli.separation.runner import choose_device
from sepcli.separation.scratch import Spool
from sepcli.separation.speakers import Embed, SpeakerOrder, Turn
from sepcli.separation.speakers.embedding import load_embed
from sepcli.separation.writing import OutputOptions

__all__ = ["Separation", "SeparationOptions", "Separator"]

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Separation:
    """One recording, separated.

    Attributes:
        estimates: One waveform per speaker, `[speakers, samples]` float32, as long as the
            recording and sample-aligned with it; without rows where `options.only` is not heard.
        sample_rate: That of the recording [Hz].
        order: Which output of the network is which speaker in every chunk, with margins.
        turns: Who speaks when, in order of time: `start_seconds`, `stop_seconds`, and `speaker`,
            the row of `estimates`.
        names: What each speaker is called: `spk1`, `spk2`, …, or the name of a known voice.
        likeness: Cosine similarity, -1 to 1, of each speaker to the voice of that name, else to
            the most similar known voice; None where there is nothing to compare.
        warnings: What was wrong with the recording, a line each.
    """

    estimates: Array
    sample_rate: int
    order: SpeakerOrder
    turns: tuple[Turn, ...]
    names: tuple[str, ...]
    likeness: tuple[float | None, ...]
    warnings: tuple[str, ...] = ()


class Separator:
    """A loaded separator; one serves any number of recordings.

    Args:
        network: `[batch, time] → [batch, speakers, time]`; prepared for its device, so give a copy
            of one that is to be trained or stored again.
        entry: The model's speakers, sample rate, chunk length and level.
        options: How it runs.
        say: Called with each line the user should see: batch size halved, samples of a file that
            could not be read.
        embed: Voice embedding, `(waveform, sample_rate) → [dims]`; None loads `options.voices`.

    Attributes:
        pipeline: What recordings go through.

    Raises:
        DeviceError: The device is not available, or has no such precision.
        ModelError: There is no voice embedding of that name.
        WeightsError: Its weights cannot be fetched or do not fit.
        UsageError: These are no options, the overlap is not shorter than the chunk, a known voice
            has the name of an unknown speaker, as spk1, or `options.only` is no known voice.
        AudioError: The recording of a known voice cannot be read, is silent, or too short.
    """

    def __init__(
        self,
        network: nn.Module,
        entry: ModelEntry,
        options: SeparationOptions | None = None,
        say: Callable[[str], None] = silent,
        embed: Embed | None = None,
    ) -> None:
        options = _checked(options)
        check_speaker_names(DEFAULT_NAME, list(options.known))
        self.entry = entry
        self._say = say
        self.pipeline = Pipeline(network, entry, options, embed or load_embed(options.voices), say)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        revision: str = "",
        options: SeparationOptions | None = None,
        say: Callable[[str], None] = silent,
    ) -> Self:
        """Return a separator with the weights of `model`, fetched if they are not here yet.

        Args:
            model: A name of `list_models()`, a model folder, or `hf:ORG/REPO`. `SEPCLI_MODEL` and
                config.toml are the command's, and not read here.
            revision: Commit, tag or branch of the repository; empty for the entry's.
            options: How it runs.
            say: Called with each line the user should see: also that a fallback was used.

        Raises:
            ModelError: The model is unknown or its configuration is wrong.
            WeightsError: The weights cannot be fetched or do not fit.
            DeviceError: The device is not available, or has no such precision.
            UsageError: These are no options, the overlap is not shorter than the chunk, a known
                voice has the name of an unknown speaker, as spk1, or `options.only` is no known
                voice.
            AudioError: The recording of a known voice cannot be read, is silent, or too short.
        """
        options = _checked(options)
        choose_device(options.device)  # before a download, not after it
        loaded = load_model(resolve_model(str(model), revision=revision))
        if loaded.note:
            say(loaded.note)
        return cls(loaded.network, loaded.entry, options, say)

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied into another process, as a pool does with whose method it calls."""
        raise DeviceError(
            "a separator cannot be sent to another process",
            "make one there, once: Separator.from_pretrained in the initializer of a pool",
        )

    def separate(self, waveform: ArrayLike | torch.Tensor, sample_rate: float) -> Separation:
        """Return one estimate per speaker of a waveform in memory.

        Args:
            waveform: `[samples]` or `[channels, samples]`; channels are mixed down. Full scale
                is ±1, though other scales come back as they went in.
            sample_rate: Its rate [Hz], a whole number from 1 to 768000 of any numeric type.

        Raises:
            AudioError: The waveform is no array of real numbers, has masked values, is empty, has
                more than two dimensions, or more channels than samples (soundfile's arrays are
                `[samples, channels]`: pass `x.T`); or the rate is no such number.
            DeviceError: Memory is too short, or the network gives values that are not finite.
            ModelError: The network has more than five outputs, which cannot be kept in order over
                several chunks.
            OutputError: There is no room for temporary files.
        """
        if isinstance(waveform, torch.Tensor):
            real = waveform if waveform.is_complex() else waveform.float()
            waveform = real.numpy(force=True)
        reader = WaveformReader(waveform, sample_rate)
        spool = Spool(self.entry.speakers)
        try:
            recording = Recording(reader, self.pipeline.plan, spool)
            for _, failure in self.pipeline.process([recording]):
                if failure is not None:
                    raise failure
            rate, order = reader.info.sample_rate, recording.solve()
            scene = recording.scene(order)
            cast = cast_people(recording.plan, scene)
            blocks = list(compose(recording, order, scene, cast, rate))
            return Separation(
                estimates=np.concatenate(blocks, axis=1),
                sample_rate=rate,
                order=order,
                turns=cast.turns_in_files(scene.turns),
                names=cast.names,
                likeness=tuple(each.likeness for each in cast.recognised),
                warnings=recording.seen.warnings,
            )
        finally:
            spool.close()

    def separate_file(
        self,
        path: str | Path,
        output_dir: str | Path = "separated",
        *,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write `<stem>_spk1.wav`, … into `output_dir` and return their paths.

        Known voices have their names in place of `spk1`. Files are WAV at the rate of the
        recording; formats, names, labels and the rest are options of the command only.

        Args:
            path: The recording.
            output_dir: Folder of the outputs; made if missing.
            overwrite: Whether to replace outputs that exist.

        Raises:
            AudioError: The recording cannot be read.
            OutputError: The outputs cannot be written, or exist already.
            DeviceError: Memory is too short, or the network gives values that are not finite.
            ModelError: As `separate`.
        """
        path, options = Path(path), OutputOptions(overwrite=overwrite, tells_turns=False)
        if not str(output_dir):
            raise OutputError("path is empty: output_dir", 'name a folder; "." is this one')
        naming = self.pipeline.plan.naming(Path(output_dir), options.format)
        job = job_of(path, naming, Path())
        (outcome,) = separate_jobs(self.pipeline, [job], options)
        if outcome.error is not None:
            raise outcome.error
        for warning in outcome.warnings:
            self._say(warning)
        return list(outcome.outputs)


def _checked(options: Any) -> SeparationOptions:
    """Return options, the usual ones for None.

    Raises:
        UsageError: They are something else.
    """
    if options is None:
        return SeparationOptions()
    if not isinstance(options, SeparationOptions):
        raise UsageError(
            f"not options: {type(options).__name__}",
            'as in options=SeparationOptions(device="cpu")',
        )
    return options
