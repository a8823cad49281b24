import pytest
import torch
from torch import Tensor, nn

from sepcli.layers import recurrent
from sepcli.layers.recurrent import recur


def identity(hidden: Tensor, part: Tensor) -> Tensor:
    return hidden


@pytest.mark.parametrize("gate_bytes", [1, 2**24])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_groups_are_all_at_once(
    kind: type[nn.LSTM | nn.GRU], gate_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent, "GATE_BYTES", gate_bytes)  # 1 gives groups of 16 or so
    torch.manual_seed(0)
    rnn = kind(5, 7, bidirectional=True)
    sequences = torch.randn(41, 13, 5)
    expected = rnn(sequences.transpose(0, 1))[0]  # [time, sequences, hidden]
    ours = recur(rnn, sequences, identity)
    assert torch.allclose(ours, expected.transpose(0, 1), atol=1e-6)
    ours = recur(rnn, sequences.transpose(0, 1), identity, time_first=True)
    assert torch.allclose(ours, expected, atol=1e-6)


def test_small_gates_make_several_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "GATE_BYTES", 1)
    sizes = []

    def count(hidden: Tensor, part: Tensor) -> Tensor:
        sizes.append(part.shape[1])
        return hidden

    recur(nn.LSTM(5, 7), torch.randn(41, 13, 5), count)
    assert sum(sizes) == 41
    assert len(sizes) > 1


def test_every_sequence_starts_from_the_state() -> None:
    torch.manual_seed(0)
    rnn = nn.LSTM(5, 7, bidirectional=True)
    hidden, cell = torch.randn(2, 1, 7), torch.randn(2, 1, 7)
    sequences = torch.randn(3, 13, 5)
    ours = recur(rnn, sequences, identity, state=(hidden, cell))
    for index in range(3):
        expected = rnn(sequences[index].unsqueeze(1), (hidden, cell))[0][:, 0]
        assert torch.allclose(ours[index], expected, atol=1e-6)
