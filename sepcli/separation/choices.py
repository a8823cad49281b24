"""What may be chosen where there are few choices: said once, for the command line and for programs.

The command line reads these before anything is computed, so this file imports nothing.
"""

from typing import Literal

Format = Literal["wav", "flac", "ogg", "mp3"]
Layout = Literal["files", "channels"]
Precision = Literal["fp32", "bf16", "fp16"]
Level = Literal["fit", "as-is"]
Leakage = Literal["keep", "remove"]
OutsideOverlap = Literal["original", "separated"]
Bandwidth = Literal["full", "model"]
MOST_SHIFTS = 20  # beyond a few, more runs hardly make a better mean
