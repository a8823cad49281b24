"""What 8 bits keep of weights, and which files are refused."""

import pytest
import torch

from sepcli.errors import WeightsError
from sepcli.models.quantise import LARGEST, dequantised, quantised


def test_matrices_come_back_within_half_a_step_of_their_row() -> None:
    torch.manual_seed(0)
    gains = torch.tensor([1e-3, 1.0, 100.0, 0.0])[:, None, None]
    state = {"weight": gains * torch.randn(4, 8, 3), "bias": torch.randn(4)}
    stored = quantised(state)
    assert stored["weight"].dtype == torch.int8
    assert stored["weight.scale"].shape == (4,)
    back = dequantised(stored)
    assert back.keys() == state.keys()
    step = state["weight"].flatten(1).abs().amax(1) / LARGEST
    error = (back["weight"] - state["weight"]).flatten(1).abs().amax(1)
    assert torch.all(error <= step * 0.5001)
    assert torch.equal(back["bias"], state["bias"].half())


def test_small_rows_vectors_and_whole_numbers_stay_what_they_are() -> None:
    state = {
        "taps": torch.randn(6, 1, 5),
        "gain": torch.randn(64),
        "count": torch.tensor(3),
    }
    stored = quantised(state)
    assert {key: value.dtype for key, value in stored.items()} == {
        "taps": torch.float16,
        "gain": torch.float16,
        "count": torch.int64,
    }


def test_weights_of_other_kinds_pass() -> None:
    state = {"net.scale": torch.randn(3), "net": torch.randn(3, 20), "whole": torch.ones(2).char()}
    assert {key: id(value) for key, value in dequantised(state).items()} == {
        key: id(value) for key, value in state.items()
    }


@pytest.mark.parametrize(
    "scale",
    [torch.ones(3), torch.ones(2, 1), torch.ones(2, dtype=torch.int64)],
    ids=["three", "with columns", "whole"],
)
def test_a_scale_that_is_not_one_a_row_is_refused(scale: torch.Tensor) -> None:
    state = {"weight": torch.ones(2, 20, dtype=torch.int8), "weight.scale": scale}
    with pytest.raises(WeightsError, match="need a scale a row: weight"):
        dequantised(state)


def test_a_single_number_of_8_bits_has_no_rows() -> None:
    state = {"weight": torch.tensor(1, dtype=torch.int8), "weight.scale": torch.tensor(0.1)}
    with pytest.raises(WeightsError, match="need a scale a row"):
        dequantised(state)
