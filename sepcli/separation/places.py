"""Where paths really lie, whatever links lead there; each folder is looked up once."""

import os
from pathlib import Path

Place = tuple[str, str]  # a real folder, and a name in it


class Places:
    """Looks paths up; for one plan and no longer: links change.

    A run has thousands of files in a few folders, and each look asks the disk about every step of
    the way there.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of_name(self, path: Path) -> Place:
        """Return where a file of that name will lie; a link that has it is replaced."""
        folder, name = os.path.split(path)
        if (real := self._folders.get(folder)) is None:
            real = self._folders[folder] = os.path.realpath(folder)
        return real, name

    def of_content(self, path: Path) -> Place:
        """Return where what is read under that name lies; links are followed."""
        if os.path.islink(path):  # noqa: PTH114 (Path's may raise)
            folder, name = os.path.split(os.path.realpath(path))
            return folder, name
        return self.of_name(path)
