"""Networks built without memory and given their weights strictly."""

import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch import nn

import sepcli.models.build
from sepcli.errors import ModelError, WeightsError
from sepcli.models.build import Weightless, assign_weights, build_network
from sepcli.networks.convtasnet import Network

CONFIG: dict[str, Any] = {
    "num_speakers": 2,
    "num_filters": 6,
    "bottleneck": 4,
    "hidden": 5,
    "skip": 4,
    "num_blocks": 1,
    "num_repeats": 1,
}
FIRST = "encoder.filterbank._filters"


def _built() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Return a network without memory, and weights that fit it."""
    network, config = build_network("convtasnet", CONFIG, where="model x")
    return network, Network(config).state_dict()


def test_nothing_is_allocated_before_the_weights_are_there() -> None:
    network, state = _built()
    assert all(tensor.is_meta for tensor in network.state_dict().values())
    assign_weights(network, state, where="model x")
    for key, tensor in network.state_dict().items():
        assert tensor.data_ptr() == state[key].data_ptr()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_float32(kind: torch.dtype) -> None:
    network, state = _built()
    assign_weights(network, {key: t.to(kind) for key, t in state.items()}, where="model x")
    for key, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, state[key].to(kind).float())


def test_missing_and_unknown_keys_are_named() -> None:
    network, state = _built()
    keys = list(state)
    state = {key: state[key] for key in keys[5:]} | {"surplus": torch.zeros(1)}
    with pytest.raises(WeightsError) as caught:
        assign_weights(network, state, where="model x")
    message = caught.value.message
    assert message.startswith(f"weights do not fit model x: 5 missing ({keys[0]}, {keys[1]}, ")
    assert message.endswith("; 1 unknown (surplus)")
    assert keys[4] not in message
    assert caught.value.hint == (
        "the entry's config must be that of the weights; compare with `sepcli info NAME`"
    )


def test_another_shape_is_named() -> None:
    network, state = _built()
    state[FIRST] = torch.zeros(7, 1, 16)
    with pytest.raises(WeightsError, match=r"filters is \[7, 1, 16\], not \[6, 1, 16\]"):
        assign_weights(network, state, where="model x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    network, state = _built()
    state[FIRST][0, 0, 0] = value
    with pytest.raises(WeightsError, match=f"weights of model x are not finite: {FIRST}"):
        assign_weights(network, state, where="model x")


@pytest.mark.parametrize(
    "change",
    [
        {"num_filters": 2**20, "bottleneck": 2**20},
        {"num_blocks": 2**20},
        {"hidden": 10**9},
        {"num_filters": -5},
        {"num_filters": 0},
    ],
)
def test_an_absurd_configuration_is_refused_in_one_line(
    change: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sepcli.models.build, "MOST_PARAMETERS", 500)  # as fast as it is sure
    with pytest.raises(ModelError) as caught:
        build_network("convtasnet", CONFIG | change, where="model x")
    assert "model x" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("failure", "said"),
    [(ValueError("no such width\nand more"), "no such width"), (TypeError(), "TypeError")],
)
def test_what_a_network_says_of_its_configuration_is_passed_on(
    failure: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(nn.Module):
        def __init__(self, config: object) -> None:
            raise failure

    module = type("Module", (), {"Network": Failing})
    monkeypatch.setattr(sepcli.models.build, "load_architecture", lambda *_, **__: module)
    with pytest.raises(ModelError) as caught:
        build_network("convtasnet", CONFIG, where="model x")
    assert caught.value.message == f"wrong configuration of model x: {said}"


class Tied(nn.Module):
    """Two names for one parameter, a stored table and a buffer that no checkpoint holds."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = self.first
        self.pos_enc = nn.Module()
        self.pos_enc.register_buffer("pe", torch.arange(float(rows * 2)).reshape(1, rows, 2))
        self.register_buffer("window", torch.hann_window(4), persistent=False)


@pytest.fixture
def tied(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    module = type("Module", (), {"Network": Tied})
    monkeypatch.setattr(sepcli.models.build, "load_architecture", lambda *_, **__: module)
    with Weightless():
        return Tied(5)


def test_tables_that_grow_absurd_are_refused_before_they_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wide(nn.Module):
        def __init__(self, config: object) -> None:
            super().__init__()
            rows, channels = torch.arange(2**20), torch.arange(2**20)
            self.register_buffer("pe", rows.unsqueeze(1) * channels)  # 8 TB

    module = type("Module", (), {"Network": Wide})
    monkeypatch.setattr(sepcli.models.build, "load_architecture", lambda *_, **__: module)
    with pytest.raises(ModelError, match="network too large: tables of up to"):
        build_network("convtasnet", CONFIG, where="model x")


def test_other_threads_build_as_always() -> None:
    built: list[nn.Module] = []
    with Weightless():
        thread = threading.Thread(target=lambda: built.append(nn.Linear(3, 2)))
        thread.start()
        thread.join()
        assert nn.Linear(3, 2).weight.is_meta
    assert not built[0].weight.is_meta
    assert built[0].weight.abs().sum() > 0
    assert not nn.Linear(3, 2).weight.is_meta


def test_a_shared_parameter_may_be_stored_once(tied: nn.Module) -> None:
    state = {key: t for key, t in Tied(5).state_dict().items() if not key.startswith("second")}
    assign_weights(tied, state, where="x")
    assert torch.equal(tied.state_dict()["second.weight"], state["first.weight"])


@pytest.mark.parametrize("rows", [3, 9])
def test_a_table_of_positions_may_have_other_rows(tied: nn.Module, rows: int) -> None:
    assign_weights(tied, Tied(rows).state_dict(), where="x")
    own = Tied(5)
    assert torch.equal(tied.get_buffer("pos_enc.pe"), own.get_buffer("pos_enc.pe"))
    assert torch.equal(tied.get_buffer("window"), own.get_buffer("window"))
    assert not any(tensor.is_meta for tensor in tied.state_dict().values())


def test_a_table_of_other_width_is_refused(tied: nn.Module) -> None:
    state = Tied(5).state_dict() | {"pos_enc.pe": torch.zeros(1, 5, 3)}
    with pytest.raises(WeightsError, match=r"pe is \[1, 5, 3\], not \[1, 5, 2\]"):
        assign_weights(tied, state, where="x")


def test_no_network_of_the_table_needs_the_compiler_to_be_built() -> None:
    """torch loads it for arithmetic without memory: seconds, and a folder among the temporaries."""
    code = (
        "import sys\n"
        "from sepcli.models.build import build_network\n"
        "from sepcli.models.registry import load_entries\n"
        "for entry in {e.architecture: e for e in load_entries().values() if e.config}.values():\n"
        "    build_network(entry.architecture, entry.config, where=entry.name)\n"
        "    assert 'torch._dynamo' not in sys.modules, entry.name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
