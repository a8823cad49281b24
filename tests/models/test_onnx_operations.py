"""Real forms of operations against torch's own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sepcli.models import onnx_operations


@pytest.mark.parametrize(("size", "step"), [(6, 3), (6, 2), (6, 1), (5, 2), (4, 6)])
def test_frames_are_put_together_from_slices(size: int, step: int) -> None:
    tensor = torch.randn(2, 23, 3)
    assert torch.equal(onnx_operations.unfold(tensor, 1, size, step), tensor.unfold(1, size, step))
    turned = tensor.transpose(1, 2)
    assert torch.equal(
        onnx_operations.unfold(turned, -1, size, step), turned.unfold(-1, size, step)
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: onnx_operations.std(x, [-1], correction=0), lambda x: x.std(-1, correction=0)),
        (lambda x: onnx_operations.std(x), lambda x: x.std()),
        (
            lambda x: onnx_operations.adaptive_pool(x.view(1, 4, 9), (3, 5)),
            lambda x: nn.functional.adaptive_avg_pool2d(x.view(1, 4, 9), (3, 5)),
        ),
        (lambda x: onnx_operations.rms_norm(x, [6]), lambda x: nn.functional.rms_norm(x, [6])),
        (lambda x: torch.cat(onnx_operations.chunk(x, 4, 1), 1), lambda x: x),
        (lambda x: onnx_operations.split(x, 4, -1)[1], lambda x: x[:, 4:]),
        (
            lambda x: onnx_operations.batch_norm(
                x.view(1, 4, 9), x[0, :4], x[1, :4], None, None, True, 0.0, 1e-5, True
            ),
            lambda x: torch.batch_norm(
                x.view(1, 4, 9), x[0, :4], x[1, :4], None, None, True, 0.0, 1e-5, True
            ),
        ),
    ],
)
def test_real_forms_are_those_of_torch(
    ours: Callable[[Tensor], Any], theirs: Callable[[Tensor], Any]
) -> None:
    tensor = torch.randn(6, 6)
    torch.testing.assert_close(ours(tensor), theirs(tensor))
