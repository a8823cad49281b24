"""Complex numbers as pairs, against torch's own."""

import pytest
import torch

from sepcli.models import onnx_pairs


@pytest.mark.parametrize("size", [7, 8])
def test_transforms_are_products(size: int) -> None:
    frames = torch.randn(3, size)
    spectrum = onnx_pairs.rfft((), frames)
    torch.testing.assert_close(torch.view_as_complex(spectrum), torch.fft.rfft(frames))
    torch.testing.assert_close(onnx_pairs.irfft((), spectrum, size), frames)


@pytest.mark.parametrize("dim", [1, -2])
@pytest.mark.parametrize("size", [5, 12])
def test_transforms_run_over_any_dimension_and_cut_or_fill_it(size: int, dim: int) -> None:
    frames = torch.randn(2, 8, 3)
    wanted = torch.fft.rfft(frames, size, dim=dim)
    spectrum = onnx_pairs.rfft((), frames, size, dim)
    torch.testing.assert_close(torch.view_as_complex(spectrum.contiguous()), wanted)
    back = onnx_pairs.irfft((), torch.view_as_real(wanted), size, dim)
    torch.testing.assert_close(back, torch.fft.irfft(wanted, size, dim=dim))


def test_frames_that_do_not_overlap_are_put_side_by_side() -> None:
    frames = torch.randn(1, 3, 12)
    assert torch.equal(onnx_pairs.overlap_add(frames, 12)[0], frames.flatten())
