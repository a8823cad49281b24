import os
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sepcli.errors import DeviceError
from sepcli.networks import convtasnet
from sepcli.separation.runner import Runner, check_precision, choose_device, fitting_batch
from tests.doubles import Broken, Identity


class Greedy(nn.Module):
    """Runs out of memory for batches larger than it likes."""

    def __init__(self, largest: int, message: str = "") -> None:
        super().__init__()
        self.largest = largest
        self.message = message
        self.batches: list[int] = []

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(mixture))
        if len(mixture) > self.largest:
            if self.message:
                raise RuntimeError(self.message)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mixture[:, None] * torch.tensor([1.0, 2.0], device=mixture.device)[None, :, None]


def chunks(count: int, length: int = 16) -> Sequence[np.ndarray]:
    return [np.full(length, number, np.float32) for number in range(count)]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "DefaultCPUAllocator: can't allocate memory",
        "MPS backend out of memory (MPS allocated: 8 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_the_batch_is_halved_until_it_fits_and_that_is_said(message: str) -> None:
    network, said = Greedy(2, message), []
    runner = Runner(network, torch.device("cpu"), batch_size=8, on_warning=said.append)
    estimates = runner.run(chunks(9))
    assert network.batches == [8, 4, 2, 2, 2, 2, 1]
    assert [float(pair[1, 0]) for pair in estimates] == [2.0 * n for n in range(9)]
    assert said == ["out of memory: batch size is now 4", "out of memory: batch size is now 2"]
    assert runner.batch_size == 2


class Hoarder(nn.Module):
    """Runs out of memory once, with a large tensor in its hands."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[weakref.ref[torch.Tensor]] = []

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        large = torch.zeros(1000)
        self.held.append(weakref.ref(large))
        if len(mixture) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mixture[:, None]


def test_what_a_failed_batch_held_is_let_go_before_the_next() -> None:
    network = Hoarder()
    alive: list[bool] = []

    def look(message: str) -> None:
        alive.append(network.held[0]() is not None)

    Runner(network, torch.device("cpu"), batch_size=2, on_warning=look).run(chunks(2))
    assert alive == [False]


def test_no_memory_for_one_chunk_is_an_error_with_a_hint() -> None:
    with pytest.raises(DeviceError, match="single chunk") as caught:
        Runner(Greedy(0), torch.device("cpu"), batch_size=2).run(chunks(2))
    assert "--chunk" in caught.value.hint


def test_other_failures_are_not_mistaken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"):
        Runner(Greedy(0, "shape mismatch"), torch.device("cpu")).run(chunks(1))


def test_a_processor_is_not_asked_for_what_it_is_slow_at(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, has = torch.device("cpu"), {"architecture": "x86_64", "amx_bf16": False}
    with pytest.raises(DeviceError, match="fp16 is slower"):
        check_precision(cpu, "fp16")
    assert check_precision(torch.device("cuda"), "fp16") == ""
    said: list[str] = []
    for native in (True, False):
        capabilities = has | {"avx512_bf16": native}
        # older versions of torch have no such function
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", partial(dict, capabilities), raising=False
        )
        assert check_precision(cpu, "fp32") == ""
        Runner(Identity(1), cpu, "bf16", on_warning=said.append)
        assert len(said) == (not native)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DeviceError, match="not finite") as caught:
        Runner(Broken(), torch.device("cpu"), precision="bf16").run(chunks(1))
    assert "fp32" in caught.value.hint


def test_bf16_is_near_fp32() -> None:
    layer = nn.Sequential(nn.Linear(16, 16))

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, mixture: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.layer(mixture)] * 2, dim=1)

    given = [np.random.default_rng(0).standard_normal(16).astype(np.float32)]
    exact = Runner(Wide(), torch.device("cpu")).run(given)[0]
    rough = Runner(Wide(), torch.device("cpu"), "bf16").run(given)[0]
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.05  # bfloat16 has 8 bits of precision


def test_auto_finds_a_device() -> None:
    assert choose_device("auto").type in ("cuda", "mps", "cpu")


@pytest.mark.parametrize("name", ["gpu", "meta", "xpu", "cpu:x", "", None, 1.5])
def test_unknown_devices_are_refused(name: Any) -> None:
    with pytest.raises(DeviceError, match="unknown device"):
        choose_device(name)


def test_a_gpu_that_is_not_here_says_why() -> None:
    count = torch.cuda.device_count()
    why = f"there are {count} GPUs" if count else "no usable NVIDIA driver"
    if torch.version.cuda is None:
        why = "is a build without CUDA"
    with pytest.raises(DeviceError, match=why) as caught:
        choose_device(f"cuda:{count}")
    assert "--device cpu" in caught.value.hint


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this Mac has a GPU")
def test_missing_mps_is_told() -> None:
    with pytest.raises(DeviceError, match="mps is not available"):
        choose_device("mps")


def test_one_chunk_at_a_time_on_a_cpu() -> None:
    assert Runner(Identity(), torch.device("cpu")).batch_size == 1


@pytest.mark.parametrize(
    "chunk,free,batch", [(10, 100, 7), (10, 5, 1), (1, 10**9, 32), (0, 100, 32), (10, 0, 1)]
)
def test_a_batch_fits_into_the_memory(chunk: int, free: int, batch: int) -> None:
    assert fitting_batch(chunk, free) == batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_measures_its_first_chunk() -> None:
    network = Greedy(99)
    assert len(Runner(network, torch.device("cuda")).run(chunks(8))) == 8
    assert network.batches == [1, 7]  # such small chunks all fit


def test_a_processor_gets_the_fast_form_in_single_precision() -> None:
    config = convtasnet.Config(
        num_filters=8, bottleneck=6, hidden=7, skip=5, num_blocks=2, num_repeats=1
    )
    network = convtasnet.Network(config).eval()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    exact = Runner(network, torch.device("cpu"))
    assert exact.network is not network
    assert Runner(network, torch.device("cpu"), "bf16").network is network
    (estimates,) = exact.run([np.ones(300, np.float32)])
    with torch.inference_mode():
        expected = network(torch.ones(1, 300))[0].numpy()
    np.testing.assert_allclose(estimates, expected, atol=1e-5 * abs(expected).max())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_after_a_fork_it_says_so_and_does_not_hang() -> None:
    runner = Runner(Identity(), torch.device("cpu"))
    runner.run(chunks(1))
    child = os.fork()
    if child == 0:
        try:
            runner.run(chunks(1))
        except DeviceError as failure:
            os._exit(0 if "forked" in failure.message and "this process" in failure.hint else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
