import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from sepcli.separation import lanes
from sepcli.separation.lanes import LANES, Lanes, num_lanes
from sepcli.separation.separator import SeparationOptions, Separator
from tests.doubles import RATE, Identity, entry, two_voices
from tests.separation.options import AS_SEPARATED

WAIT_SECONDS = 20.0


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    """Two threads for torch, whatever the tests are run with."""
    if not lanes._can_limit_threads():
        pytest.skip("torch keeps its number of threads to itself")
    usual = torch.get_num_threads()
    lanes._limit_threads(LANES)
    yield LANES
    lanes._limit_threads(usual)


class Watched(Identity):
    """Knows with how many threads each chunk was run; those of a pair wait for each other."""

    def __init__(self, meeting: int = 1) -> None:
        super().__init__()
        self.threads: list[int] = []
        self.meeting = threading.Barrier(meeting)

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.threads.append(torch.get_num_threads())
        self.meeting.wait(WAIT_SECONDS)
        return super().forward(mixture)


def separate(network: nn.Module, seconds: float, **changes: object) -> np.ndarray:
    options = SeparationOptions(device="cpu", **AS_SEPARATED, **changes)  # type: ignore[arg-type]
    made = Separator(network, entry(level="as-is"), options)
    return made.separate(two_voices(seconds).sum(axis=0), RATE).estimates


def test_calls_run_side_by_side_each_on_its_share(threads: int) -> None:
    network = Watched(meeting=LANES)
    with Lanes(network, LANES) as lanes:
        futures = [lanes.start(network, torch.ones(1, 8)) for _ in range(LANES)]
        assert all(future.result().shape == (1, 2, 8) for future in futures)
    assert network.threads == [1] * LANES
    assert torch.get_num_threads() == threads
    assert not [each for each in threading.enumerate() if each.name.startswith("network")]


def test_matrices_can_still_be_factored_afterwards() -> None:
    with Lanes(Identity(), LANES) as lanes:
        lanes.start(torch.linalg.solve, torch.eye(100), torch.ones(100, 1)).result()
    torch.testing.assert_close(
        torch.linalg.solve(torch.eye(100), torch.ones(100, 1)), torch.ones(100, 1)
    )


class TwoLayers(nn.Module):
    """Tells when its first layer has begun, and waits in it to be told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.is_through = False

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.first(mixture)
        self.begun.set()
        self.goes_on.wait(WAIT_SECONDS)
        self.second(mixture)
        self.is_through = True
        return mixture


@pytest.mark.parametrize("ending", [KeyboardInterrupt, GeneratorExit])
def test_left_by_an_exception_lanes_stop_before_the_next_layer(
    ending: type[BaseException],
) -> None:
    network = TwoLayers()
    with pytest.raises(ending), Lanes(network, LANES) as lanes:
        future = lanes.start(network, torch.ones(1))
        assert network.begun.wait(WAIT_SECONDS)
        goes_on = threading.Thread(target=lambda: go_on_once(lanes, network))
        goes_on.start()
        raise ending
    goes_on.join()
    assert not network.is_through
    assert isinstance(future.exception(), InterruptedError)
    assert not any(module._forward_pre_hooks for module in network.modules())


def go_on_once(lanes: Lanes, network: TwoLayers) -> None:
    """Let the first layer end when the lanes have been told to stop."""
    assert lanes._stopping.wait(WAIT_SECONDS)
    network.goes_on.set()


def test_left_at_their_end_lanes_finish_what_runs() -> None:
    network = TwoLayers()
    network.goes_on.set()
    with Lanes(network, LANES) as lanes:
        future = lanes.start(network, torch.ones(1))
        assert network.begun.wait(WAIT_SECONDS)
    assert network.is_through and future.exception() is None
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_others_may_run_the_network_while_lanes_stop() -> None:
    network = TwoLayers()
    network.goes_on.set()
    lanes = Lanes(network, LANES)
    lanes._stopping.set()
    assert network(torch.ones(1)).shape == (1,)
    assert isinstance(lanes.start(network, torch.ones(1)).exception(), InterruptedError)
    lanes.__exit__(None)


def test_only_a_processor_with_threads_to_share_has_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert num_lanes(torch.device("cpu")) == LANES
    assert num_lanes(torch.device("cuda")) == num_lanes(torch.device("mps")) == 1
    lanes._limit_threads(1)
    assert num_lanes(torch.device("cpu")) == 1
    lanes._limit_threads(LANES)
    monkeypatch.setattr("sepcli.separation.lanes._can_limit_threads", lambda: False)
    assert num_lanes(torch.device("cpu")) == 1


@pytest.mark.parametrize("seconds,expected", [(0.9, [2]), (1.5, [1, 1]), (2.1, [1, 1, 2])])
def test_chunks_run_in_twos_and_the_last_one_on_all_cores(
    seconds: float, expected: list[int]
) -> None:
    network = Watched()
    separate(network, seconds)
    assert network.threads == expected


def test_chunks_that_need_much_memory_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sepcli.separation.pipeline.SIDE_BY_SIDE_SECONDS", 0.9)
    network = Watched()
    separate(network, 5.0)
    assert set(network.threads) == {LANES}


@pytest.mark.parametrize(("chunk", "lanes"), [(0.5, False), (0.7, False), (0.8, True)])
def test_chunks_that_are_soon_done_run_one_by_one(chunk: float, lanes: bool) -> None:
    network = Watched()
    separate(network, 5.0, chunk_seconds=chunk, overlap_seconds=0.1)
    assert len(network.threads) > 4
    assert (1 in network.threads) == lanes
    assert not any(module._forward_pre_hooks for module in network.modules())
