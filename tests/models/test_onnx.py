"""Networks as ONNX graphs, by onnxruntime against torch."""

import pytest
import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from sepcli.errors import ModelError
from sepcli.models import onnx
from tests.networks import golden

# Norms over the past only lose their shape on the way; no entry of the table has them.
CAUSAL = {"convtasnet-causal-cgln", "convtasnet-causal-cln"}
FORMS = [
    (network, name)
    for network, name in golden.contract_configs()
    if name not in CAUSAL and not onnx.obstacle(vars(golden.narrow_config(network, name)))
]


def run(network: nn.Module, num_samples: int) -> tuple[Tensor, Tensor]:
    """Return what the graph and what the network make of noise."""
    import onnxruntime

    graph = onnx.onnx_graph(network, num_samples, where="x")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    mixture = torch.randn(1, num_samples, generator=torch.Generator().manual_seed(3))
    (estimates,) = session.run([onnx.OUTPUT], {onnx.INPUT: mixture.numpy()})
    with torch.inference_mode():
        return torch.from_numpy(estimates), network(mixture)


class Transforms(nn.Module):
    """What networks do with complex numbers, in one."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, mixture: Tensor) -> Tensor:
        window = torch.hann_window(16)
        spectrum = torch.stft(mixture, 16, 4, window=window, return_complex=True)  # [B, F, T]
        low, high = spectrum.split((4, 5), -2)
        turned = torch.cat((torch.view_as_real(low), torch.view_as_real(high)), -3)
        spectrum = torch.view_as_complex(turned.contiguous()).conj() * torch.polar(
            torch.ones(9, 1), torch.arange(9.0).unsqueeze(-1)
        )
        spectrum = (spectrum + spectrum.conj() - 0.5 * spectrum) / (spectrum.abs() + 1.0)
        waveforms = torch.istft(spectrum, 16, 4, window=window, length=mixture.shape[-1])
        frames = torch.fft.rfft(waveforms.unfold(-1, 10, 3))
        back = torch.fft.irfft(frames.unsqueeze(1).transpose(-1, -2).sum(1).transpose(-1, -2), n=10)
        ahead = nn.functional.pad(back.flatten(1), (0, mixture.shape[-1]))[:, : mixture.shape[-1]]
        return torch.stack((waveforms, ahead), 1) + self.shift


@pytest.mark.xfail(
    TorchVersion(torch.__version__) < "2.6",
    raises=ModelError,
    reason="the exporter of torch 2.4 does not follow the sizes of complex numbers",
)
def test_complex_numbers_are_pairs_and_a_graph_is_checked() -> None:
    network = Transforms()
    graph = onnx.onnx_graph(network, 200, where="x")
    onnx.check_graph(graph, network, 200, where="x")
    with pytest.raises(ModelError, match="graph does not give the estimates of its network: x: "):
        onnx.check_graph(graph, Transforms(shift=0.01), 200, where="x")
    with pytest.raises(ModelError, match="onnxruntime does not take the graph: x: "):
        onnx.check_graph(graph[:-9], network, 200, where="x")


@pytest.mark.slow  # ten seconds of a processor each
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("network", "name"), FORMS)
def test_every_form_of_every_network_is_written(network: str, name: str) -> None:
    built = golden.build(network, golden.narrow_config(network, name))
    estimates, wanted = run(built, 3999)
    assert golden.relative_error(estimates, wanted) < onnx.TOLERANCE


class Unknown(nn.Module):
    def forward(self, mixture: Tensor) -> Tensor:
        return torch.linalg.svdvals(mixture.view(1, 10, -1))


def test_an_operation_without_a_counterpart_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="network cannot be written as ONNX: x: ") as caught:
        onnx.onnx_graph(Unknown(), 100, where="x")
    assert "\n" not in caught.value.message
    assert "sepcli export stftformer-8k" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_obstacles_are_known_beforehand() -> None:
    assert "depends on the mixture" in onnx.obstacle({"counts": True})
    assert onnx.obstacle({"counts": False}) == ""


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.require_packages()
    monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="not installed: onnx, onnxruntime") as caught:
        onnx.require_packages()
    assert "sepcli[onnx]" in caught.value.hint
