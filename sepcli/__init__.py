"""Separate a recording of people talking over each other into one clean file per speaker.

Start with `Separator.from_pretrained("spgm").separate(waveform, sample_rate)`.
"""

from typing import TYPE_CHECKING, Any

from sepcli.models.registry import list_models

if TYPE_CHECKING:
    from sepcli.separation.separator import Separation, SeparationOptions, Separator

__version__ = "0.1.0"

__all__ = ["Separation", "SeparationOptions", "Separator", "__version__", "list_models"]


def __dir__() -> list[str]:
    """Return the public names, also of what is loaded on first use."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Return what needs torch on first use, so that `sepcli --help` does not wait for it."""
    if name in ("Separation", "SeparationOptions", "Separator"):
        from sepcli.separation import separator

        return getattr(separator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
