"""A network built without memory, compared with its weights key by key, and only then given them.

Nothing is allocated twice, and a wrong or absurd configuration never reaches the memory.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sepcli.errors import ModelError, WeightsError
from sepcli.models.architectures import load_architecture, make_config
from sepcli.models.checkpoints import State

M = TypeVar("M", bound=nn.Module)

NAMED_KEYS = 3  # of those that differ: enough to recognise what went wrong
LARGEST_NETWORK_BYTES = 2**35
MOST_PARAMETERS = 2**13  # tensors, not numbers; the largest published network has 1,400
LARGEST_TABLES = 2**28  # numbers; the largest of a published network have 64 million


def build_network(
    architecture: str, config: Mapping[str, Any], *, where: str
) -> tuple[nn.Module, Any]:
    """Return a network whose parameters take no memory, on the meta device, and its `Config`.

    Args:
        architecture: Module under `sepcli.networks`.
        config: Configuration by field name.
        where: Whose it is, for messages.

    Raises:
        ModelError: The architecture is unknown, or the configuration is wrong or absurd.
    """
    checked = make_config(architecture, config, where=where)
    module = load_architecture(architecture, where=where)
    return build_empty(lambda: module.Network(checked), where=where), checked


def fresh_network(
    architecture: str, config: Mapping[str, Any], seed: int, *, where: str
) -> nn.Module:
    """Return a network with random weights, once it is known that there can be one.

    Args:
        architecture: Module under `sepcli.networks`.
        config: Configuration by field name.
        seed: Of the weights.
        where: Whose it is, for messages.

    Raises:
        ModelError: The architecture is unknown, or the configuration is wrong or absurd.
    """
    _, checked = build_network(architecture, config, where=where)
    torch.manual_seed(seed)
    network: nn.Module = load_architecture(architecture, where=where).Network(checked)
    return network


def build_empty(make: Callable[[], M], *, where: str) -> M:
    """Return a network whose parameters take no memory, on the meta device.

    Args:
        make: Builds it.
        where: Whose it is, for messages.

    Raises:
        ModelError: Its configuration is wrong or absurd.
    """
    try:
        with Weightless():
            network = make().float()  # whatever the program's own default is
        for name, parameter in network.named_parameters():
            if parameter.numel() == 0:
                raise ValueError(f"a parameter without elements: {name}")
    except _TooLargeError as cause:
        raise ModelError(f"configuration of {where} makes a network too large: {cause}") from None
    except (RuntimeError, ValueError, ArithmeticError, MemoryError, TypeError) as cause:
        first = str(cause).splitlines()[0][:160] if str(cause) else type(cause).__name__
        raise ModelError(f"wrong configuration of {where}: {first}") from cause
    return network


class _TooLargeError(Exception):
    """A network under construction is larger than any that could be meant."""


class Weightless(TorchFunctionMode):
    """While it is entered, parameters are made without memory; in this thread, nowhere else.

    Networks begin their parameters with `torch.empty` and the like, and their tables of positions
    with a range. The first are made on the meta device and not filled. The second are computed:
    without memory, torch would load its compiler for that, which takes seconds.

    Raises:
        _TooLargeError: The parameters or the tables made so far are absurdly large.
    """

    makers = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
    fills = ("normal_", "uniform_")  # and their kin: kaiming_uniform_, trunc_normal_

    def __init__(self) -> None:
        super().__init__()
        self._count = self._bytes = self._tables = self._range = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a function of torch, but for what makes parameters or fills them."""
        kwargs = kwargs or {}
        if func in self.makers:
            unfilled = torch.empty if func in (torch.rand, torch.randn) else func
            return self._bounded(unfilled(*args, **{**kwargs, "device": "meta"}))
        if getattr(func, "__name__", "").endswith(self.fills):
            filled = args[0] if args else kwargs["tensor"]
            return filled if filled.is_meta else func(*args, **kwargs)
        result = func(*args, **kwargs)
        if func is torch.arange:  # of two of these, one after the other, a table is the product
            self._tables += self._range * len(result)
            self._range = len(result)
            if self._tables > LARGEST_TABLES:
                raise _TooLargeError(f"tables of up to {self._tables:,} numbers")
        return result

    def _bounded(self, parameter: Tensor) -> Tensor:
        """Return the parameter; stop a network that grows absurd."""
        self._count += 1
        self._bytes += parameter.numel() * parameter.element_size()
        if self._count > MOST_PARAMETERS or self._bytes > LARGEST_NETWORK_BYTES:
            raise _TooLargeError(f"{self._bytes:,} bytes in {self._count:,} tensors")
        return parameter


def assign_weights(network: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Give a network without memory its weights, strictly, as float32.

    Args:
        network: From `build_network`; its parameters become the tensors of `state`.
        state: Tensors by the network's keys.
        where: Whose they are, for messages.

    Raises:
        WeightsError: Keys or shapes differ, or a weight is not finite.
    """
    wanted = network.state_dict()
    state = _with_aliases(network, state)
    # A shorter or longer table of positions has the same rows; the network's own is used instead.
    tables = {key for key in wanted if key in state and _is_table(key, wanted[key], state[key])}
    state = {key: tensor for key, tensor in state.items() if key not in tables}
    wanted = {key: tensor for key, tensor in wanted.items() if key not in tables}
    _check_fit(wanted, state, where)
    ready = {}
    for key, tensor in state.items():
        if tensor.is_floating_point():
            tensor = tensor.float()
            if not torch.isfinite(tensor).all():
                raise WeightsError(f"weights of {where} are not finite: {key}")
        ready[key] = tensor.to(wanted[key].dtype).contiguous()
    network.load_state_dict(ready, strict=not tables, assign=True)  # all keys were compared above


def _with_aliases(network: nn.Module, state: Mapping[str, Tensor]) -> State:
    """Return `state` with each shared parameter under all of its names, as some files drop them."""
    complete = dict(state)
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for group in names.values():
        held = next((complete[name] for name in group if name in complete), None)
        for name in group:
            if held is not None:
                complete.setdefault(name, held)
    return complete


def _is_table(key: str, own: Tensor, given: Tensor) -> bool:
    """Return whether both are positions `[1, rows, channels]`, of different numbers of rows."""
    same_kind = key.endswith(".pe") and own.dim() == given.dim() == 3
    return same_kind and own.shape != given.shape and own.shape[::2] == given.shape[::2]


def _check_fit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights whose keys or shapes are not the network's; name the first that differ."""
    hint = "the entry's config must be that of the weights; compare with `sepcli info NAME`"
    missing = [key for key in wanted if key not in state]
    extra = [key for key in state if key not in wanted]
    problems = [f"{len(missing)} missing ({_first(missing)})"] if missing else []
    problems += [f"{len(extra)} unknown ({_first(extra)})"] if extra else []
    if not problems:
        differ = [
            f"{key} is {list(state[key].shape)}, not {list(tensor.shape)}"
            for key, tensor in wanted.items()
            if state[key].shape != tensor.shape
        ]
        problems = [f"{len(differ)} of another shape ({_first(differ)})"] if differ else []
    if problems:
        raise WeightsError(f"weights do not fit {where}: {'; '.join(problems)}", hint)


def _first(items: list[str]) -> str:
    return ", ".join(item[:100] for item in items[:NAMED_KEYS]) + (
        ", ..." if len(items) > NAMED_KEYS else ""
    )
