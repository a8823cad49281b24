"""How files come to be: hidden temporaries, room on the disk, names given when a file is whole."""

from sepcli.files.pending import PendingFile, output_error
from sepcli.files.space import remove_stale_temporaries, require_free_space
from sepcli.files.temporary import (
    TEMPORARY_PREFIX,
    create_temporary,
    forget_temporary,
    is_stale,
    printable,
)

__all__ = [
    "TEMPORARY_PREFIX",
    "PendingFile",
    "create_temporary",
    "forget_temporary",
    "is_stale",
    "output_error",
    "printable",
    "remove_stale_temporaries",
    "require_free_space",
]
