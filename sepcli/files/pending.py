"""Files that are not there until they are whole: written hidden, then renamed in one step."""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sepcli.errors import OutputError
from sepcli.files.space import up_from
from sepcli.files.temporary import create_temporary, forget_temporary, printable, temporary_name

NAME_BYTES, PATH_BYTES = 255, 4095  # what names and paths have at most, where it is not told
# what comes of a hard link where there are none: FAT, some network disks, some systems
NO_LINKS = (OSError, NotImplementedError, AttributeError)
TEMPORARY_BYTES = 64  # more than the name of a temporary has
ASIDE_SUFFIX = ".old"  # the only copy of a user's file: never taken for a leftover

# Which option names the folder depends on the command, and on what of its files cannot be written.
HINTS = {
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "your disk quota is used up; free some, or choose another disk",
    errno.EFBIG: "the disk takes no file of this size; choose another disk",
    errno.EACCES: "you may not write there; choose another folder",
    errno.EPERM: "you may not write there; choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENAMETOOLONG: "the file's name is too long here; rename the input",
    errno.EISDIR: "a folder has that name; move it, or choose another folder",
    errno.ENOTDIR: "a file has the name of that folder; choose another folder",
}


class AlreadyThereError(OutputError):
    """A name that another file had already."""


def output_error(path: Path, error: OSError) -> OutputError:
    """Return what to tell the user about a failed write to `path`."""
    what = (error.strerror or str(error) or type(error).__name__).lower()
    hint = HINTS.get(error.errno or 0, "check the folder, or choose another one")
    return OutputError(f"cannot write ({what}): {printable(path)}", hint)


class PendingFile:
    """A hidden temporary beside its final name; a file object that libsndfile can write through.

    libsndfile's callbacks must not raise, and it reports no error that happens while it closes: a
    full disk would leave a short file that looks complete. The first failure is therefore kept
    here, for the caller to ask with `check`.

    Attributes:
        path: The final name.
        descriptor: Of the open temporary; -1 when it is closed.
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
        self._aside: Path | None = None  # what had it before
        try:
            self.descriptor, self._temporary = create_temporary(path.parent)
            self._identity = os.fstat(self.descriptor)
        except OSError as error:
            raise output_error(path, error) from error

    def write(self, data: bytes | memoryview) -> int:
        """Return how many bytes went out."""
        view = memoryview(data)
        while view and self.error is None:
            try:
                view = view[os.write(self.descriptor, view) :]
            except OSError as error:
                self.error = error
        return len(data) - len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Return the new position."""
        return os.lseek(self.descriptor, offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return os.lseek(self.descriptor, 0, os.SEEK_CUR)

    def read(self, num_bytes: int) -> bytes:
        """Return bytes back; some formats read their own header again."""
        return os.read(self.descriptor, num_bytes)

    def check(self) -> None:
        """Raise the first failure, if there was one.

        Raises:
            OutputError: The disk did not take what was written.
        """
        if self.error is not None:
            raise output_error(self.path, self.error) from self.error

    def close(self) -> None:
        """Close the temporary; some file systems report a full disk only now, see `check`."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor < 0:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            self.error = self.error or error

    def publish(self) -> None:
        """Give the closed file its final name.

        Raises:
            AlreadyThereError: The name is taken.
            OutputError: The folder does not let it be given.
        """
        publish_all([self])

    def discard(self) -> None:
        """Remove the temporary, unless it was published; may be called twice."""
        self.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            forget_temporary(self._temporary)
            self._temporary = None

    def _take_name(self) -> None:
        """Take the final name; what had it stays aside until `_settle` or `_withdraw`."""
        if self._temporary is None:
            raise ValueError(f"published or discarded before: {self.path}")
        try:
            if self._overwrite:
                self._set_aside()
                self._temporary.replace(self.path)
            else:
                _rename_to_new(self._temporary, self.path)
        except FileExistsError as error:
            raise AlreadyThereError(
                f"output is already there: {printable(self.path)}",
                "use --overwrite to replace it, or --skip-existing to keep it",
            ) from error
        except OSError as error:
            raise output_error(self.path, error) from error
        forget_temporary(self._temporary)
        self._temporary = None

    def _set_aside(self) -> None:
        """Give what has the final name a second, hidden one, or that one only where links fail."""
        try:
            if stat.S_ISDIR(self.path.lstat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except FileNotFoundError:
            return
        self._aside = self.path.parent / temporary_name()
        try:
            os.link(self.path, self._aside, follow_symlinks=False)
        except NO_LINKS:
            forget_temporary(self._aside)
            self._aside = self._aside.with_suffix(ASIDE_SUFFIX)
            self.path.replace(self._aside)

    def _settle(self) -> None:
        """Forget what had the name."""
        if self._aside is not None:
            with suppress(OSError):
                self._aside.unlink(missing_ok=True)
            forget_temporary(self._aside)
            self._aside = None

    def _withdraw(self) -> None:
        """Give the name back to what had it, unless somebody else has taken it meanwhile."""
        with suppress(OSError):  # what cannot be put back stays aside
            is_free = not os.path.lexists(self.path)
            if self._aside is not None and (is_free or self._has_name()):
                self._aside.replace(self.path)
            elif self._has_name():
                self.path.unlink()
            if self._aside is not None and self._aside.suffix != ASIDE_SUFFIX:
                self._settle()

    def _has_name(self) -> bool:
        """Return whether the final name is this file's."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(self._identity, status)


def publish_all(files: Sequence[PendingFile]) -> None:
    """Give closed files their final names, or none of them: what had these is there again then.

    Raises:
        AlreadyThereError: A name is taken.
        OutputError: A folder does not let it be given.
    """
    try:
        for file in files:
            file._take_name()
    except BaseException:
        for file in files:
            file._withdraw()
        raise
    for file in files:
        file._settle()


def check_name(path: Path) -> None:
    """Raise `OutputError` if no file can have this name: its folder need not be there yet."""
    folder, name = map(len, os.path.split(os.fsencode(path)))
    longest = max(name, TEMPORARY_BYTES)  # what takes temporaries takes names that are no longer
    is_long = longest > TEMPORARY_BYTES and name > _name_limit(path.parent)
    if is_long or folder + 1 + longest > PATH_BYTES:
        raise output_error(path, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))


def check_folder(folder: Path) -> None:
    """Raise `OutputError` with the system's reason if a folder that is there takes no files."""
    try:
        descriptor, temporary = create_temporary(folder)
    except OSError as error:
        raise output_error(folder, error) from error
    os.close(descriptor)
    temporary.unlink()
    forget_temporary(temporary)


def _name_limit(folder: Path) -> int:
    """Return how many bytes a name in `folder`, or its nearest existing parent, may have."""
    for place in up_from(folder):
        try:
            return os.pathconf(place, "PC_NAME_MAX")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, AttributeError, ValueError):  # a system that does not tell
            break
    return NAME_BYTES


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename without replacing anything, also when two processes do it at once.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except NO_LINKS:  # look, then rename
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(path)
    else:
        temporary.unlink()
