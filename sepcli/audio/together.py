"""Files of one recording that appear under their names together, complete, or not at all."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sepcli.audio.formats import OutputFormat
from sepcli.audio.writer import AudioWriter
from sepcli.files.pending import PendingFile, publish_all


class Together(ExitStack):
    """Files under way; a context manager that removes what was not published.

    Args:
        overwrite: Whether files that are there are replaced.
    """

    def __init__(self, overwrite: bool) -> None:
        super().__init__()
        self._overwrite = overwrite
        self._writers: list[AudioWriter] = []
        self._files: list[PendingFile] = []

    def waveform(
        self,
        path: Path,
        sample_rate: int,
        kind: OutputFormat,
        *,
        num_samples: int | None = None,
        channel_names: Sequence[str] = (),
    ) -> AudioWriter:
        """Return the writer of a waveform; with names it has a channel for each.

        Raises:
            OutputError: The folder does not take the file.
        """
        writer = AudioWriter(
            path,
            sample_rate,
            num_channels=max(1, len(channel_names)),
            format=kind.format,
            subtype=kind.subtype,
            num_samples=num_samples,
            overwrite=self._overwrite,
            channel_names=channel_names,
        )
        self.callback(writer.discard)
        self._writers.append(writer)
        return writer

    def content(self, path: Path, content: bytes) -> None:
        """Add a file that holds `content`.

        Raises:
            OutputError: The folder or the disk does not take it.
        """
        file = PendingFile(path, self._overwrite)
        self.callback(file.discard)
        file.write(content)
        self.closed(file)

    def closed(self, file: PendingFile) -> None:
        """Add a file that was written elsewhere; this one sees to it that it goes if need be.

        Raises:
            OutputError: The disk did not take it.
        """
        self.callback(file.discard)
        file.close()
        file.check()
        self._files.append(file)

    def publish(self) -> None:
        """Give all files their final names, or none.

        All are complete on the disk before the first is renamed; should a rename fail after others
        succeeded, what was there before is put back. The waveform that was asked for first, without
        which a recording is not done, comes after the others: a run may be killed in between.

        Raises:
            OutputError: One of them cannot be written or renamed.
        """
        for writer in self._writers:
            writer.finish()
        publish_all([writer.file for writer in reversed(self._writers)] + self._files)
