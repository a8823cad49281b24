"""How files come to be: hidden temporaries, room on the disk, names given when a file is whole."""

from sepcli.files.lines import lines_added
from sepcli.files.pending import (
    AlreadyThereError,
    PendingFile,
    check_folder,
    check_name,
    output_error,
    publish_all,
)
from sepcli.files.space import remove_stale_temporaries, require_free_space
from sepcli.files.temporary import printable, real_path
from sepcli.files.whole import refuse_replacing, refuse_taken, whole_file, write_whole

__all__ = [
    "AlreadyThereError",
    "PendingFile",
    "check_folder",
    "check_name",
    "lines_added",
    "output_error",
    "printable",
    "publish_all",
    "real_path",
    "refuse_replacing",
    "refuse_taken",
    "remove_stale_temporaries",
    "require_free_space",
    "whole_file",
    "write_whole",
]
