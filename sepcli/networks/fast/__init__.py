"""Networks in the forms that separate fastest on a processor; plain ones are for all else.

`networks/NAME.py` says what a network computes. A file here has classes that compute the same of
parts of it in another order: several passes over memory as one, a few rows at a time so that they
stay in the cache, weights laid out once. What is here gains a tenth or more, in time or in memory,
or is the part of a network that others gain by; docs/speed.md has the figures.
"""

import copy
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sepcli import networks

Forms = Mapping[type[nn.Module], Callable[[Any], nn.Module]]
"""Class of a plain module → what makes its fast form of it."""


def architectures() -> list[str]:
    """Return the names of the architectures that have a fast form, as in `sepcli/networks`."""
    known = {module.name for module in pkgutil.iter_modules(networks.__path__) if not module.ispkg}
    return sorted(known & {module.name for module in pkgutil.iter_modules(__path__)})


def optimize(network: nn.Module) -> nn.Module:
    """Return a network that answers the same, faster, or `network` where there is none.

    For inference in single precision on a processor. `network` is not changed. Parameters are
    shared with it where they are used as they are, and copied where they are laid out anew.
    """
    return _replaced(network, {}, {})


def _replaced(module: nn.Module, forms: Forms, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return the module with all that has a fast form replaced, the innermost first.

    Args:
        module: A network, or part of one.
        forms: Those of the network it is part of; a network among its parts has its own.
        done: What has been replaced already.
    """
    if module not in done:
        name = type(module).__module__.rpartition(".")[2]
        if type(module).__name__ == "Network" and name in architectures():
            forms = importlib.import_module(f"{__name__}.{name}").FORMS
        children = {
            name: None if child is None else _replaced(child, forms, done)
            for name, child in module._modules.items()
        }
        twin = module
        if any(children[name] is not child for name, child in module._modules.items()):
            twin = copy.copy(module)
            twin.__dict__["_modules"] = children
        make = forms.get(type(module))
        done[module] = twin if make is None else make(twin)
    return done[module]
