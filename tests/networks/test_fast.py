"""Every fast form against the plain one that it is made of."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from sepcli.networks import fast
from sepcli.networks.fast import filterbank, gc3, groupcomm, norms, tiger, ublock

from . import golden

PAIRS = [
    (network, name)
    for network, name in golden.contract_configs()
    if network in fast.architectures()
]
# float32 sums run in another order; a wrong weight shows at 1e-3
TOLERANCE = 2e-5
# An unlucky mixture makes 80 times as much of its own rounding; in float64 that is still nothing.
DOUBLE_TOLERANCE = 1e-11


def built(network: str, name: str) -> nn.Module:
    """Return a plain network whose gains are not 1 and whose offsets are not 0."""
    plain = golden.build(network, golden.narrow_config(network, name))
    if name in golden.cases()[network].goldens:
        golden.load_state(plain, golden.load_golden(name))
    else:
        for parameter in plain.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return plain


@pytest.mark.parametrize(("network", "name"), PAIRS)
@torch.inference_mode()
def test_answers_as_the_plain_form(network: str, name: str) -> None:
    plain = built(network, name)
    quick = fast.optimize(plain)
    assert quick is not plain
    for batch, time in ((1, 1), (3, 37), (2, 771), (1, 2999)):
        mixture = 0.3 * torch.randn(batch, time, generator=torch.Generator().manual_seed(time))
        assert golden.relative_error(quick(mixture), plain(mixture)) < TOLERANCE, (batch, time)


@pytest.mark.parametrize(("network", "name"), PAIRS)
@torch.inference_mode()
def test_answers_as_the_plain_form_at_any_size(network: str, name: str) -> None:
    plain = built(network, name).double()
    quick = fast.optimize(plain)

    @example(2, 772)  # of which TIGER makes 80 times the rounding
    @settings(max_examples=4, deadline=None)
    @given(st.integers(1, 3), st.integers(1, 3000))
    def check(batch: int, time: int) -> None:
        mixture = 0.3 * torch.randn(batch, time, generator=torch.Generator().manual_seed(time))
        expected = plain(mixture.double())
        assert golden.relative_error(quick(mixture.double()), expected) < DOUBLE_TOLERANCE

    check()


def one_of_each() -> list[tuple[str, str]]:
    return list(dict(reversed(golden.contract_configs())).items())


@pytest.mark.parametrize(("network", "name"), one_of_each())
def test_trains_the_plain_form_and_separates_with_the_fast_one(network: str, name: str) -> None:
    plain = golden.build(network, golden.narrow_config(network, name)).train()
    mixture = 0.3 * torch.randn(2, 400)
    before = fast.optimize(plain.eval())
    with torch.inference_mode():
        first = before(mixture)
    plain.train()
    optimiser = torch.optim.SGD([p for p in plain.parameters() if p.requires_grad], 1e-2)
    plain(mixture).square().mean().backward()
    nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    optimiser.step()
    quick = fast.optimize(plain.eval())
    with torch.inference_mode():
        expected = plain(mixture)
        assert not torch.equal(expected, first)
        assert golden.relative_error(quick(mixture), expected) < TOLERANCE


@pytest.mark.parametrize(
    "network", ["convtasnet", "dprnn", "gc3", "groupcomm_sudormrf", "tdanet", "tiger"]
)
@torch.inference_mode()
def test_tiles_and_sums_in_place_change_nothing(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filterbank, "TILE_BYTES", 3000)
    monkeypatch.setattr(groupcomm, "TILE", 200)
    monkeypatch.setattr(norms, "SHORT", 0)
    monkeypatch.setattr(ublock, "TILE", 300)
    monkeypatch.setattr(tiger, "TILE", 300)
    monkeypatch.setattr(tiger, "QUERIES", 3)
    monkeypatch.setattr(gc3, "TILE_ROWS", 5)
    monkeypatch.setattr(gc3, "SHORT_ATTENTION_ROWS", 3)
    mixture = 0.3 * torch.randn(2, 900)
    for name in (name for own, name in PAIRS if own == network):
        plain = built(network, name)
        expected = plain(mixture)
        assert golden.relative_error(fast.optimize(plain)(mixture), expected) < TOLERANCE, name


@pytest.mark.parametrize(("network", "name"), PAIRS[:1])
def test_leaves_the_plain_form_as_it_was(network: str, name: str) -> None:
    plain = built(network, name)
    modules, state = dict(plain.named_modules()), plain.state_dict()
    held = {key: value.clone() for key, value in state.items()}
    with torch.inference_mode():
        fast.optimize(plain)(torch.randn(1, 500))
    assert all(module is modules[key] for key, module in plain.named_modules())
    assert all(torch.equal(value, held[key]) for key, value in plain.state_dict().items())
