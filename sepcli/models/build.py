"""A network built without memory, compared with its weights key by key, and only then given them.

Nothing is allocated twice, and a wrong or absurd configuration never reaches the memory.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


def build_network(
    architecture: str, config: Mapping[str, Any], *, where: str
) -> tuple[nn.Module, Any]:
    """Return a network without memory, all on the meta device, and its `Config`.

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


def build_empty(make: Callable[[], M], *, where: str) -> M:
    """Return a network without memory, all on the meta device.

    Args:
        make: Builds it.
        where: Whose it is, for messages.

    Raises:
        ModelError: Its configuration is wrong or absurd.
    """
    try:
        with torch.device("meta"), _ShapesOnly(), _bounded_parameters():
            return make()
    except _TooLargeError as cause:
        raise ModelError(f"configuration of {where} makes a network too large: {cause}") from None
    except (RuntimeError, ValueError, ArithmeticError, MemoryError, TypeError) as cause:
        first = str(cause).splitlines()[0][:160] if str(cause) else type(cause).__name__
        raise ModelError(f"wrong configuration of {where}: {first}") from cause


def assign_weights(network: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Give a network on the meta device its weights, strictly, as float32.

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


def fill_buffers(network: nn.Module, architecture: str, config: Any) -> None:
    """Give a network the buffers that it computes when built and no checkpoint holds."""
    empty = {name for name, buffer in network.named_buffers() if buffer.is_meta}
    if not empty:
        return
    module = load_architecture(architecture, where=architecture)
    with _parameters_on_meta():
        for name, buffer in module.Network(config).named_buffers():
            if name in empty:
                owner, _, leaf = name.rpartition(".")
                setattr(network.get_submodule(owner), leaf, buffer)


class _ShapesOnly(TorchFunctionMode):
    """Leaves out first weights, and computes tables' shapes only: torch would load its compiler.

    It takes seconds to load, and leaves a folder of its own among the temporary files.
    """

    fills = frozenset(
        {
            Tensor.normal_,
            Tensor.uniform_,
            nn.init.normal_,
            nn.init.uniform_,
            nn.init.kaiming_normal_,
            nn.init.kaiming_uniform_,
            nn.init.xavier_normal_,
            nn.init.xavier_uniform_,
        }
    )
    elementwise = frozenset({"mul", "div", "__rdiv__", "__rpow__", "exp", "sin", "cos"})

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self.fills:
            return args[0] if args else kwargs["tensor"]
        if func is torch.arange and all(isinstance(bound, int) for bound in args):
            return torch.empty(len(range(*args)), dtype=kwargs.get("dtype") or torch.int64)
        if func is torch.stack:
            first, dim = args[0][0], kwargs.get("dim", args[-1])
            shape = first.unsqueeze(dim).movedim(dim, 0).shape[1:]
            return first.new_empty(len(args[0]), *shape).movedim(0, dim)
        if getattr(func, "__name__", "") in self.elementwise and not kwargs:
            shapes = [arg.shape for arg in args if isinstance(arg, Tensor)]
            dtype = torch.result_type(args[0], args[-1])
            size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
            return torch.empty(size, dtype=dtype)
        return func(*args, **kwargs)


class _TooLargeError(Exception):
    """A network under construction is larger than any that could be meant."""


@contextmanager
def _bounded_parameters() -> Iterator[None]:
    """Stop the construction of a network that grows absurd, long before it fills the memory."""
    count, size = 0, 0

    def count_parameter(_: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal count, size
        count += 1
        size += parameter.numel() * parameter.element_size()
        if parameter.numel() == 0:
            raise ValueError(f"a parameter without elements: {name}")
        if count > MOST_PARAMETERS or size > LARGEST_NETWORK_BYTES:
            raise _TooLargeError(f"{size:,} bytes in {count:,} tensors, and not finished at {name}")

    hooks = torch.nn.modules.module
    handle = hooks.register_module_parameter_registration_hook(count_parameter)
    try:
        yield
    finally:
        handle.remove()


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


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Let parameters of networks built meanwhile take no memory; buffers are made as always."""

    def to_meta(_: nn.Module, __: str, parameter: nn.Parameter) -> nn.Parameter:
        return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)

    hooks = torch.nn.modules.module
    handle = hooks.register_module_parameter_registration_hook(to_meta)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()
