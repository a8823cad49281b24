"""Parameters and multiply-accumulates of a network, counted on the meta device without computing.

Counted are convolutions, linear maps, matrix products and attention (torch's flop counter, two
flops to a multiply-accumulate), recurrent layers and Fourier transforms (by formula). Norms,
activations and other elementwise work are not, as in the tables of the papers.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

COUNTED_SECONDS = 4.0  # input length of all figures per second; padding weighs more in shorter ones


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters, shared ones once."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def macs_per_second(network: nn.Module, sample_rate: int) -> int:
    """Return the multiply-accumulates for a second of audio, from an input of four seconds.

    Args:
        network: On the meta device; its recurrent layers are replaced by stand-ins.
        sample_rate: The network's rate [Hz].
    """
    total = count_macs(network, int(COUNTED_SECONDS * sample_rate))
    return round(total / COUNTED_SECONDS)


def count_macs(network: nn.Module, num_samples: int) -> int:
    """Return the multiply-accumulates for a mixture of `num_samples`.

    Args:
        network: On the meta device; its recurrent layers are replaced by stand-ins.
        num_samples: Length of the mixture.
    """
    counted = 0

    def add(macs: int) -> None:
        nonlocal counted
        counted += macs

    for module in network.modules():
        if isinstance(module, nn.LSTM | nn.GRU):
            module.forward = _stand_in(module, add)  # type: ignore[method-assign]
        for name, buffer in module.named_buffers(recurse=False):
            steers = buffer.numel() == 1 and not buffer.is_floating_point()  # the computation
            place = "cpu" if steers else "meta"
            module.register_buffer(name, torch.zeros_like(buffer, device=place))
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.is_meta:  # a table that checkpoints hold like a weight
                empty = torch.empty_like(parameter, device="meta")
                module.register_parameter(name, nn.Parameter(empty, parameter.requires_grad))
    fourier = {
        torch.ops.aten._fft_r2c: _fft_flops,
        torch.ops.aten._fft_c2r: _fft_flops,
        torch.ops.aten._fft_c2c: _fft_flops,
    }
    counter = FlopCounterMode(display=False, custom_mapping=fourier)
    mixture = torch.empty(1, num_samples, device="meta")
    # With gradients on, networks take the plain path: no splitting of work to fit a cache.
    with torch.enable_grad(), counter, _SpectrumStandIn(add):
        network.eval()(mixture)
    return int(counter.get_total_flops()) // 2 + counted


def _stand_in(rnn: nn.LSTM | nn.GRU, add: Callable[[int], None]) -> Callable[..., Any]:
    """Return a forward that counts the recurrence and gives results of the right shape."""
    gates = 4 if isinstance(rnn, nn.LSTM) else 3
    directions = 2 if rnn.bidirectional else 1
    width = rnn.hidden_size * directions

    def forward(sequences: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        steps = sequences.shape[:-1].numel()
        for layer in range(rnn.num_layers):
            inputs = rnn.input_size if layer == 0 else width
            add(steps * gates * rnn.hidden_size * (inputs + rnn.hidden_size) * directions)
        return sequences.new_empty(*sequences.shape[:-1], width), state

    return forward


class _SpectrumStandIn(TorchFunctionMode):
    """Counts short-time transforms, whose checks of values the meta device cannot make."""

    def __init__(self, add: Callable[[int], None]) -> None:
        super().__init__()
        self.add = add

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in (torch.stft, torch.istft) or not args[0].is_meta:
            return func(*args, **kwargs)
        size = args[1]
        if func is torch.stft:
            hop = args[2] if len(args) > 2 else kwargs["hop_length"]
            frames = 1 + args[0].shape[-1] // hop
            shape = [*args[0].shape[:-1], size // 2 + 1, frames]
            result = args[0].new_empty(shape, dtype=torch.complex64)
        else:
            frames = args[0].shape[-1]
            shape = [*args[0].shape[:-2], kwargs["length"]]
            result = args[0].real.new_empty(shape)
        self.add(shape[0] * frames * _fft_flops_of(size) // 2)
        return result


def _fft_flops(shape: torch.Size, dims: list[int], *args: Any, out_shape: Any, **_: Any) -> int:
    """Return the flops of the Fourier transforms in one call."""
    size: int = math.prod(max(shape[dim], out_shape[dim]) for dim in dims)
    count: int = max(shape.numel(), math.prod(out_shape)) // size
    return count * _fft_flops_of(size)


def _fft_flops_of(size: int) -> int:
    """Return the flops of one transform of `size` real values, 2.5 n log2 n."""
    return int(2.5 * size * math.log2(max(size, 2)))
