"""Weights in the form that they are used in, made once for a network that only separates."""

import torch
from torch import Tensor, nn

from sepcli.memory import return_freed_memory
from sepcli.networks.layers.linear import pack


class Prepared(nn.Module):
    """A module that computes with something made of its parameters.

    That is made at each call, as training needs it, until `prepare` makes it for good.

    Attributes:
        sources: Names of these parameters, or of children that hold them and nothing else of use.
    """

    sources: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] | None = None

    def weights(self) -> list[Tensor]:
        """Return what the module computes with; matrices, which may be packed, are for `linear`."""
        return self._made() if self._kept is None else self._kept

    @property
    def is_kept(self) -> bool:
        """Whether the weights are made for good."""
        return self._kept is not None

    def _made(self) -> list[Tensor]:
        """Return the same, made of the parameters."""
        raise NotImplementedError

    def keep(self) -> None:
        """Keep the weights instead of what they are made of; no more than once."""
        with torch.inference_mode(False), torch.no_grad():
            kept = [each.detach().clone() for each in self._made()]
        for name in self.sources:
            delattr(self, name)
        # One by one, and after the parameters: in the memory that these had.
        for index, each in enumerate(kept):
            kept[index] = pack(each) if each.dim() == 2 else each
        self._kept = kept


def prepare(network: nn.Module) -> None:
    """Change a network on the processor for good into one that only separates, as fast as it can.

    Where its modules are `Prepared`, what depends on the weights alone is done now, and there are
    no parameters left to train, store or move. It takes no more memory than before.
    """
    modules = (each for each in network.modules() if isinstance(each, Prepared))
    waiting = [each for each in modules if not each.is_kept]
    for module in waiting:
        module.keep()
    if waiting:
        return_freed_memory()
