"""Recurrent layers over many sequences at once, at the speed of the processor's cache."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sepcli.networks.layers.linear import can_fuse, linear

HIDDEN_BYTES = 2**23  # what one call puts out, unless that is of too few sequences
FEWEST = 48  # sequences of one call; with fewer the kernel is slower, most of all on two cores

_LSTM = 2  # the kernel's number for this kind of layer


def recur(
    rnn: nn.LSTM | nn.GRU,
    sequences: Tensor,
    finish: Callable[[Iterator[Tensor], Tensor], Tensor],
    *,
    time_first: bool = False,
    state: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return `finish(run(rnn, s), s)` for all sequences s, laid out like them.

    Some sequences at a time: that bounds what is held at once, and is no faster.

    Args:
        rnn: Time first, that is without `batch_first`.
        sequences: `[sequences, time, features]`, or `[time, sequences, features]`; any strides.
        finish: Given what `run` yields and `[time, sequences, features]`, returns
            `[time, sequences, any]`; must not mix sequences.
        time_first: Which of the two layouts `sequences` has.
        state: See `run`.
    """
    steps = sequences if time_first else sequences.transpose(0, 1)
    results = []
    for part in torch.split(steps, group_size(rnn, *steps.shape[:2]), dim=1):
        part = part.contiguous()
        results.append(finish(run(rnn, part, state), part))
    joined = results[0] if len(results) == 1 else torch.cat(results, dim=1)
    return joined if time_first else joined.transpose(0, 1)


def run(
    rnn: nn.LSTM | nn.GRU, steps: Tensor, state: tuple[Tensor, Tensor] | None = None
) -> Iterator[Tensor]:
    """Yield what a recurrent layer puts out, in parts for `linear_of_parts`.

    Each is `[time, sequences, hidden]`. Without autograd, those of an LSTM's directions are not
    joined, as the layer itself would do: a copy that takes as long as half the linear layer.
    The second is not computed before the first has been used, and need not be held beside it.

    Args:
        rnn: Time first, that is without `batch_first`.
        steps: `[time, sequences, features]`, contiguous.
        state: What all sequences start from, hidden and cell, each
            `[layers * directions, 1, hidden]`; zeros without.
    """
    count = steps.shape[1]
    first = None if state is None else [part.expand(-1, count, -1).contiguous() for part in state]
    plain = isinstance(rnn, nn.LSTM) and rnn.num_layers == 1 and rnn.bias and not rnn.proj_size
    if not plain or not can_fuse(steps, rnn.get_parameter("weight_hh_l0")):
        yield rnn(steps, first and tuple(first))[0]
        return
    first = first or [steps.new_zeros(2, count, rnn.hidden_size)] * 2
    # Kind and sizes; biases; not bidirectional, batch first or training.
    options = (_LSTM, rnn.hidden_size, 1, True, False, False, False)
    kernel = torch.ops.aten.mkldnn_rnn_layer
    for direction in range(1 + rnn.bidirectional):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        given: list[Any] = [rnn.get_parameter(f"{n}_l0{'_reverse' * direction}") for n in names]
        given += [part[direction : direction + 1] for part in first]
        yield kernel(steps, *given, bool(direction), [], *options)[0]


def linear_of_parts(
    parts: Iterable[Tensor], weight: Tensor, bias: Tensor, residual: Tensor | None = None
) -> Tensor:
    """Return `linear` of features that lie in parts, plus `residual` if given.

    Args:
        parts: `[..., some of the inputs]` each.
        weight: `[outputs, inputs]`.
        bias: `[outputs]`.
        residual: `[..., outputs]`.
    """
    total, seen = residual, 0
    for part in parts:
        columns = weight[:, seen : seen + part.shape[-1]].contiguous()
        total = linear(part, columns, None if seen else bias, residual=total)
        seen += part.shape[-1]
        del part  # before the next one is made
    assert total is not None
    return total


def group_size(rnn: nn.LSTM | nn.GRU, time: int, count: int) -> int:
    """Return how many of `count` sequences of `time` steps to take at a time, all much the same."""
    weight = rnn.get_parameter("weight_hh_l0")
    if weight.device.type != "cpu":
        return max(count, 1)
    directions = 1 + rnn.bidirectional
    wanted = HIDDEN_BYTES // (directions * time * rnn.hidden_size * weight.element_size())
    return math.ceil(count / max(1, round(count / max(wanted, FEWEST))))
