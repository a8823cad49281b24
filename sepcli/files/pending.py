"""Files that are not there until they are whole: written hidden, then renamed in one step."""

import errno
import os
from pathlib import Path

from sepcli.errors import OutputError
from sepcli.files.temporary import create_temporary, forget_temporary, printable

HINTS = {
    errno.ENOSPC: "free some space, or choose another disk with --output-dir",
    errno.EDQUOT: "your disk quota is used up; free some, or choose another --output-dir",
    errno.EFBIG: "the disk takes no file of this size; use --format flac or another --output-dir",
    errno.EACCES: "you may not write there; choose another folder with --output-dir",
    errno.EPERM: "you may not write there; choose another folder with --output-dir",
    errno.EROFS: "the disk is read-only; choose another folder with --output-dir",
    errno.ENAMETOOLONG: "the file's name is too long here; rename the input",
    errno.EISDIR: "a folder has that name; move it, or choose another --output-dir",
}


def output_error(path: Path, error: OSError) -> OutputError:
    """Return what to tell the user about a failed write to `path`."""
    what = (error.strerror or str(error) or type(error).__name__).lower()
    hint = HINTS.get(error.errno or 0, "check the output folder, or choose another --output-dir")
    return OutputError(f"cannot write ({what}): {printable(path)}", hint)


class PendingFile:
    """A hidden temporary beside its final name; a file object that libsndfile can write through.

    libsndfile's callbacks must not raise, and it reports no error that happens while it closes: a
    full disk would leave a short file that looks complete. The first failure is therefore kept
    here, for the caller to ask with `check`.

    Attributes:
        path: The final name.
        error: The first failure, or None.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        """Make the temporary.

        Args:
            path: The final name; its folder must exist.
            overwrite: Whether `publish` may replace what has that name.

        Raises:
            OutputError: The folder does not take the file.
        """
        self.path = path
        self.error: OSError | None = None
        self._overwrite = overwrite
        self._temporary: Path | None = None
        try:
            self._descriptor, self._temporary = create_temporary(path.parent)
        except OSError as error:
            raise output_error(path, error) from error

    def write(self, data: bytes | memoryview) -> int:
        """Return how many bytes went out."""
        view = memoryview(data)
        while view and self.error is None:
            try:
                view = view[os.write(self._descriptor, view) :]
            except OSError as error:
                self.error = error
        return len(data) - len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Return the new position."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def read(self, num_bytes: int) -> bytes:
        """Return bytes back; some formats read their own header again."""
        return os.read(self._descriptor, num_bytes)

    def check(self) -> None:
        """Raise the first failure, if there was one.

        Raises:
            OutputError: The disk did not take what was written.
        """
        if self.error is not None:
            raise output_error(self.path, self.error) from self.error

    def close(self) -> None:
        """Close the temporary; some file systems report a full disk only now, see `check`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            self.error = self.error or error

    def publish(self) -> None:
        """Give the closed file its final name.

        Raises:
            OutputError: The name is taken, or the folder does not let it be given.
        """
        if self._temporary is None:
            raise ValueError(f"published or discarded before: {self.path}")
        try:
            if self._overwrite:
                self._temporary.replace(self.path)
            else:
                _rename_to_new(self._temporary, self.path)
        except FileExistsError as error:
            raise OutputError(
                f"output is already there: {printable(self.path)}",
                "use --overwrite to replace it, or --skip-existing to keep it",
            ) from error
        except OSError as error:
            raise output_error(self.path, error) from error
        forget_temporary(self._temporary)
        self._temporary = None

    def discard(self) -> None:
        """Remove the temporary, unless it was published; may be called twice."""
        self.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            forget_temporary(self._temporary)
            self._temporary = None


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename without replacing anything, also when two processes do it at once.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # no hard links here (FAT, some network disks): look, then rename
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(path)
    else:
        temporary.unlink()
