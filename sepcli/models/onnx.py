"""A network as an ONNX graph, for programs that have no torch.

The graph takes one length of mixture. `torch.export` writes the network down as operations on
tensors whose sizes are known. Of these, ONNX has no complex numbers, Fourier transforms of torch's
kind or overlapping frames: they are computed as `onnx_operations` and `onnx_pairs` say, by real
operations, while `torch.onnx.export` looks on.
"""

import copy
import functools
import importlib.util
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from sepcli.errors import ModelError
from sepcli.models.onnx_operations import REAL
from sepcli.models.onnx_pairs import ON_PAIRS
from sepcli.networks.layers.ublock import UBlock

OPSET = 18  # the first that adds overlapping frames
INPUT, OUTPUT = "mixture", "estimates"  # names in the graph
TOLERANCE = 1e-4  # of the largest estimate; float32 sums in another order differ by 1e-6
HINT = "docs/models.md says which can be; one is: sepcli export stftformer-8k FILE.onnx"


def require_packages() -> None:
    """Raise if what writes and checks a graph is not installed.

    Raises:
        ModelError: It is not.
    """
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"ONNX files need packages that are not installed: {', '.join(missing)}",
            "install them with: pip install 'sepcli[onnx]'",
        )


def obstacle(config: Mapping[str, Any]) -> str:
    """Return what keeps a network from being written as ONNX, empty if nothing is known to.

    Args:
        config: Its configuration by field name.
    """
    return "its number of estimates depends on the mixture" if config.get("counts") else ""


def onnx_graph(network: nn.Module, num_samples: int, *, where: str) -> bytes:
    """Return an ONNX file of a network, `[1, num_samples]` → `[1, speakers, num_samples]`.

    Args:
        network: With its weights, on the processor.
        num_samples: Length of the mixtures that the graph takes.
        where: Whose network it is, for messages.

    Raises:
        ModelError: The network does something that ONNX has no operation for.
    """
    example = torch.zeros(1, num_samples)
    file = io.BytesIO()
    with torch.inference_mode(False), torch.no_grad():
        network = _keeping_what_is_shared(network)
        network(example)  # tables that are kept from the first run on hold numbers, not symbols
    try:
        with warnings.catch_warnings(), _without_dump():
            warnings.simplefilter("ignore")  # of sizes that become part of the graph, as they shall
            program = torch.export.export(network, (example,), strict=False)
            real = _RealNetwork(program.module())
            torch.onnx.export(
                real,
                (example,),
                file,  # type: ignore[arg-type]  # which it takes
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
    except Exception as cause:  # of many kinds, as many as operations that have no counterpart
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:120].rstrip(". ")
        raise ModelError(f"network cannot be written as ONNX: {where}: {reason}", HINT) from cause
    return _with_equal_constants_once(file.getvalue())


def check_graph(graph: bytes, network: nn.Module, num_samples: int, *, where: str) -> None:
    """Compare what onnxruntime makes of a graph with what the network makes of the same noise.

    Args:
        graph: From `onnx_graph`.
        network: What it was made of.
        num_samples: Length of the mixtures that the graph takes.
        where: Whose network it is, for messages.

    Raises:
        ModelError: onnxruntime does not take the graph, or differs.
    """
    import onnxruntime

    mixture = 0.1 * torch.randn(1, num_samples, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = network(mixture).numpy()
    try:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (estimates,) = session.run(None, {INPUT: mixture.numpy()})
    except Exception as cause:  # its errors have no common class but this
        reason = str(cause).strip().splitlines()[0][:120]
        raise ModelError(f"onnxruntime does not take the graph: {where}: {reason}") from cause
    error = float(np.abs(estimates - wanted).max()) / (float(np.abs(wanted).max()) or 1.0)
    if not error < TOLERANCE:
        raise ModelError(f"graph does not give the estimates of its network: {where}: {error:.1e}")


def _keeping_what_is_shared(network: nn.Module) -> nn.Module:
    """Return a copy that computes once what its U blocks take from the length alone.

    S4M's filters come from complex numbers of double precision; in the graph they are constants.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, UBlock):
            module.shared = functools.cache(module.shared)  # type: ignore[method-assign]
    return network


def _with_equal_constants_once(graph: bytes) -> bytes:
    """Return a graph in which no constant stands twice: a Fourier transform is one for all uses."""
    import onnx

    model = onnx.load_model_from_string(graph)
    names: dict[bytes, str] = {}  # of the first constant with a value
    instead: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            first = names.setdefault(node.attribute[0].SerializeToString(), node.output[0])
            if first != node.output[0]:
                instead[node.output[0]] = first
                continue
        kept.append(node)
    for node in kept:
        node.input[:] = [instead.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return bytes(model.SerializeToString())


@contextmanager
def _without_dump() -> Iterator[None]:
    """Keep torch from printing a whole graph to stdout when an operation has no counterpart."""
    kept = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = kept


class _RealNetwork(nn.Module):
    """Runs a network's operations one by one, those on complex numbers as real ones."""

    def __init__(self, operations: fx.GraphModule) -> None:
        super().__init__()
        self.operations = operations

    def train(self, mode: bool = True) -> "_RealNetwork":
        """Stay as it is: exported operations have no mode."""
        return self

    def forward(self, mixture: Tensor) -> Any:
        """Return the estimates."""
        return _RealInterpreter(self.operations).run(mixture)


class _RealInterpreter(fx.Interpreter):
    """Gives each complex tensor as a real one, its real and imaginary parts in a last dimension."""

    def run_node(self, node: fx.Node) -> Any:
        """Return what an operation gives."""
        if node.op != "call_function":
            value = super().run_node(node)
            return torch.view_as_real(value) if _is_complex(node) else value  # a constant
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        if any(_is_complex(part) for part in (node, *node.all_input_nodes)):
            if node.target not in ON_PAIRS:
                raise NotImplementedError(f"no real form of {node.target}")
            pairs = [_is_complex(part) for part in node.args]
            return ON_PAIRS[node.target](pairs, *args, **kwargs)
        if node.target in REAL:
            return REAL[node.target](*args, **kwargs)
        return super().run_node(node)


def _is_complex(part: Any) -> bool:
    value = part.meta.get("val") if isinstance(part, fx.Node) else None
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return isinstance(value, Tensor) and value.is_complex()
