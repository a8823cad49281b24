from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from sepcli.networks.layers import recurrent
from sepcli.networks.layers.recurrent import linear_of_parts, recur, run


def joined(hidden: Iterator[Tensor], part: Tensor) -> Tensor:
    return torch.cat(list(hidden), dim=-1)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "HIDDEN_BYTES", 1)
    monkeypatch.setattr(recurrent, "FEWEST", 16)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_groups_are_all_at_once(kind: type[nn.LSTM | nn.GRU], small_groups: None) -> None:
    torch.manual_seed(0)
    rnn = kind(5, 7, bidirectional=True)
    sequences = torch.randn(41, 13, 5)
    expected = rnn(sequences.transpose(0, 1))[0]  # [time, sequences, hidden]
    ours = recur(rnn, sequences, joined)
    assert torch.allclose(ours, expected.transpose(0, 1), atol=1e-6)
    ours = recur(rnn, sequences.transpose(0, 1), joined, time_first=True)
    assert torch.allclose(ours, expected, atol=1e-6)


def test_sequences_beyond_the_limits_make_several_groups(small_groups: None) -> None:
    sizes = []

    def count(hidden: Iterator[Tensor], part: Tensor) -> Tensor:
        sizes.append(part.shape[1])
        return part

    recur(nn.LSTM(5, 7), torch.randn(41, 13, 5), count)
    assert sum(sizes) == 41
    assert len(sizes) > 1


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    "rnn",
    [
        nn.LSTM(5, 7),
        nn.LSTM(5, 7, bidirectional=True),
        nn.LSTM(5, 7, 2, bidirectional=True),
        nn.LSTM(5, 7, bias=False),
        nn.LSTM(5, 7, proj_size=3),
        nn.GRU(5, 7, bidirectional=True),
    ],
    ids=str,
)
def test_parts_are_what_the_layer_puts_out(rnn: nn.LSTM | nn.GRU) -> None:
    steps = torch.randn(6, 9, 5, generator=torch.Generator().manual_seed(0))
    expected = rnn(steps)[0]
    with torch.no_grad():
        assert torch.allclose(torch.cat(list(run(rnn, steps)), dim=-1), expected, atol=1e-6)


@pytest.mark.parametrize("grad", [False, True])
def test_every_sequence_starts_from_the_state(grad: bool) -> None:
    torch.manual_seed(0)
    rnn = nn.LSTM(5, 7, bidirectional=True)
    hidden, cell = torch.randn(2, 1, 7), torch.randn(2, 1, 7)
    sequences = torch.randn(3, 13, 5)
    with torch.set_grad_enabled(grad):
        ours = recur(rnn, sequences, joined, state=(hidden, cell))
    for index in range(3):
        expected = rnn(sequences[index].unsqueeze(1), (hidden, cell))[0][:, 0]
        assert torch.allclose(ours[index], expected, atol=1e-6)


@pytest.mark.parametrize("widths", [[7], [2, 5], [3, 3, 1]])
@pytest.mark.parametrize("grad", [False, True])
def test_linear_of_parts_is_that_of_all_joined(widths: Sequence[int], grad: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 4)
    features, residual = torch.randn(6, 9, 7), torch.randn(6, 9, 4)
    parts = features.split(list(widths), dim=-1)
    with torch.set_grad_enabled(grad):
        ours = linear_of_parts(parts, layer.weight, layer.bias, residual)
    assert torch.allclose(ours, layer(features) + residual, atol=1e-6)
