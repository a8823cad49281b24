"""Synthesis undoes analysis, whatever the length, and a window's squares add up to one."""

import pytest
import torch

from sepcli.networks.layers.fourier import analyse, sine_window, synthesise


@pytest.mark.parametrize(("length", "stride"), [(32, 16), (32, 8), (60, 20)])
@pytest.mark.parametrize("num_samples", [1, 31, 32, 500])
def test_synthesis_undoes_analysis(length: int, stride: int, num_samples: int) -> None:
    waveforms = torch.randn(2, 3, num_samples, generator=torch.Generator().manual_seed(0))
    window = sine_window(length, stride)
    spectra = analyse(waveforms, window, stride)
    assert spectra.shape[-1] == length // 2 + 1
    assert torch.allclose(synthesise(spectra, window, stride, num_samples), waveforms, atol=1e-6)


def test_a_tone_is_in_its_bin() -> None:
    tone = torch.sin(2 * torch.pi * 4 / 32 * torch.arange(320))
    spectra = analyse(tone[None, None], sine_window(32, 16), 16)
    assert spectra.abs()[0, 0, 5:-5].argmax(-1).unique().tolist() == [4]
