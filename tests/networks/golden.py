"""Our networks against the recorded numbers of the published ones, and the cases of the tests.

Every network module of sepcli/networks has one file of its name in tests/networks/cases, which
says how the tests build it:

    CASE = Case(
        goldens=("spgm-att", ...),         # files of tests/data/golden that it must reproduce
        fulls=("spgm-base", ...),          # files of tests/data/golden/full, the published sizes
        config=from_recorded,              # published constructor arguments → our Config
        extras={"narrow": Config(...)},    # further narrow configurations for the contract test
    )

The contract test (test_contract.py) runs over all goldens and extras, test_golden.py over all
goldens, test_full.py over all fulls.
"""

import importlib
import json
import pkgutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sepcli.models.architectures import architectures

DATA = Path(__file__).parent.parent / "data" / "golden"
FORMULAS = (".pe", ".inv_freq", ".rotary_pos_emb.freqs", ".rope.freqs")  # keys of what is computed
TOLERANCE = 1e-5  # of the largest output; the published float32 is within 1.2e-6 of its float64


@dataclass(frozen=True, kw_only=True)
class Case:
    """How the tests build one network.

    Attributes:
        goldens: Names of the narrow recordings.
        fulls: Names of the recordings at published sizes.
        config: Our `Config` for the constructor arguments of the published code.
        extras: Name → narrow `Config` without a recording, for the contract test.
        full_rms: Name of a full recording → allowed relative RMS error, where the largest error
            is no fair measure.
        deviation: What our network does otherwise on purpose: makes what it must answer out of a
            narrow configuration, the mixture and the published answer.
    """

    goldens: tuple[str, ...] = ()
    fulls: tuple[str, ...] = ()
    config: Callable[[Mapping[str, Any]], Any] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    full_rms: Mapping[str, float] = field(default_factory=dict)
    deviation: Callable[[Any, Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Golden:
    """One narrow recording: `inputs[n]` [batch, time] → `outputs[n]` [batch, speakers, time].

    A network that counts speakers is told the number in the inputs of `num_speakers`.
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, list[int]]
    state: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    num_speakers: Mapping[str, int]


def network_names() -> list[str]:
    """Return the names of all network modules."""
    return architectures()


@cache
def cases() -> dict[str, Case]:
    """Return network name → case, for the networks that have one."""
    folder = Path(__file__).parent / "cases"
    found = {}
    for module in pkgutil.iter_modules([str(folder)]):
        found[module.name] = importlib.import_module(f"tests.networks.cases.{module.name}").CASE
    return found


def build(network: str, config: Any) -> nn.Module:
    """Return the network in eval mode with the weights that seed 0 gives."""
    torch.manual_seed(0)
    built: nn.Module = importlib.import_module(f"sepcli.networks.{network}").Network(config)
    return built.eval()


def contract_configs() -> list[tuple[str, str]]:
    """Return (network, name of a narrow configuration), for all networks with a case."""
    return [
        (network, name)
        for network, case in cases().items()
        for name in (*case.goldens, *case.extras)
    ]


def narrow_config(network: str, name: str) -> Any:
    """Return the narrow configuration `name`, which is a golden or an extra of its case."""
    case = cases()[network]
    if name in case.extras:
        return case.extras[name]
    assert case.config is not None
    return case.config(load_golden(name).config)


@cache
def load_golden(name: str) -> Golden:
    """Return the narrow recording `name`."""
    about = json.loads((DATA / f"{name}.json").read_text())
    tensors = load_file(DATA / f"{name}.safetensors")
    outputs = {n: tensors[f"out/{n}"] for n in about["inputs"]}
    if not about["time_last"]:
        outputs = {n: out.transpose(1, 2) for n, out in outputs.items()}
    state = {k.removeprefix("state/"): v for k, v in tensors.items() if k.startswith("state/")}
    inputs = {n: tensors[f"in/{n}"] for n in about["inputs"]}
    told = about.get("num_speakers", {})
    return Golden(about["config"], about["state"], state, inputs, outputs, told)


def answer(network: nn.Module, mixture: Tensor, num_speakers: int | None) -> Tensor:
    """Return the network's estimates; the number of speakers is told where there is one."""
    estimates: Tensor = network(*((mixture,) if num_speakers is None else (mixture, num_speakers)))
    return estimates


def load_state(network: nn.Module, golden: Golden) -> None:
    """Load the recorded weights strictly; positional tables stay as the constructor made them."""
    own = network.state_dict()
    tables = {key: own[key] for key in golden.shapes if key.endswith(".pe") and key in own}
    network.load_state_dict({**golden.state, **tables}, strict=True)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference over the largest value of `theirs`."""
    return float((ours - theirs).abs().max()) / (float(theirs.abs().max()) or 1.0)


def load_full(name: str) -> dict[str, Any]:
    """Return the description of the recording `name` at the published size."""
    about: dict[str, Any] = json.loads((DATA / "full" / f"{name}.json").read_text())
    return about


def recipe_state(network: nn.Module, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights the full recordings were made with: noise seeded by each key's crc32."""
    own = network.state_dict()
    state = {}
    for key in about["state"]:
        source = about["aliases"].get(key, key)
        first = min(source, key, key=list(about["state"]).index)
        state[key] = _recipe_tensor(first, own[key])
    return state


def recipe_mixture(sample_rate: int) -> Tensor:
    """Return the two chirps in noise that the full recordings were made with, `[1, time]`, 2 s."""
    num_samples = 2 * sample_rate
    t = np.arange(num_samples) / sample_rate
    mixture = 0.3 * np.sin(2 * np.pi * (200 * t + 450 * t * t))
    mixture += 0.2 * np.sin(2 * np.pi * (3000 * t - 600 * t * t))
    mixture += 0.05 * np.random.RandomState(20240607).standard_normal(num_samples)
    return torch.from_numpy(mixture.astype(np.float32)).unsqueeze(0)


def _recipe_tensor(key: str, own: Tensor) -> Tensor:
    last = key.rsplit(".", 1)[-1]
    shape = tuple(own.shape)
    if not own.is_floating_point() or key.endswith(FORMULAS):
        return own
    rng = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    if last == "log_dt":
        values = np.log(0.001) + (np.log(0.1) - np.log(0.001)) * rng.random_sample(shape)
        return torch.from_numpy(values.astype(np.float32))
    noise = rng.standard_normal(shape)
    fan_in = int(np.prod(shape[1:]))
    if last == "inv_w_real":
        values = np.log(0.5) + 0.1 * noise
    elif last == "w_imag":
        values = -np.pi * (np.arange(shape[-1]) + 1) * (1 + 0.01 * noise)
    elif ".kernel.kernel." in key and last in ("B", "C", "P"):
        values = 0.5 * noise
    elif last == "running_var":
        values = 1 + 0.02 * np.abs(noise)
    elif last in ("bias", "beta", "running_mean", "in_proj_bias") or last.startswith("bias_"):
        values = 0.02 * noise
    elif fan_in == 1 or (last == "gamma" and len(shape) != 2):
        values = (0.25 if noise.size == 1 else 1.0) + 0.02 * noise
    else:
        values = noise / np.sqrt(fan_in)
    return torch.from_numpy(np.asarray(values, dtype=np.float32).reshape(shape))
