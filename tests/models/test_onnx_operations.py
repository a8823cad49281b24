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


@pytest.mark.parametrize("size", [7, 8])
def test_transforms_are_products(size: int) -> None:
    frames = torch.randn(3, size)
    spectrum = onnx_operations.rfft((), frames)
    torch.testing.assert_close(torch.view_as_complex(spectrum), torch.fft.rfft(frames))
    torch.testing.assert_close(onnx_operations.irfft((), spectrum, size), frames)


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
        (lambda x: onnx_operations.overlap_add(x.view(1, 3, 12), 12)[0], lambda x: x.flatten()),
    ],
)
def test_real_forms_are_those_of_torch(
    ours: Callable[[Tensor], Any], theirs: Callable[[Tensor], Any]
) -> None:
    tensor = torch.randn(6, 6)
    torch.testing.assert_close(ours(tensor), theirs(tensor))
