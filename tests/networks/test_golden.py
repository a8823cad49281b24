"""Every network gives the recorded numbers of the published one."""

import pytest
import torch

from . import golden

RECORDED = [(network, name) for network, case in golden.cases().items() for name in case.goldens]


@pytest.mark.parametrize(("network", "name"), RECORDED)
def test_gives_the_published_numbers(network: str, name: str) -> None:
    recorded = golden.load_golden(name)
    config, deviation = golden.narrow_config(network, name), golden.cases()[network].deviation
    built = golden.build(network, config)
    golden.load_state(built, recorded)
    for which, mixture in recorded.inputs.items():
        with torch.inference_mode():
            estimates = golden.answer(built, mixture, recorded.num_speakers.get(which))
        wanted = recorded.outputs[which]
        wanted = wanted if deviation is None else deviation(config, mixture, wanted)
        assert estimates.shape == wanted.shape
        assert golden.relative_error(estimates, wanted) < golden.TOLERANCE, which


@pytest.mark.parametrize(("network", "name"), RECORDED)
def test_has_the_published_keys(network: str, name: str) -> None:
    built = golden.build(network, golden.narrow_config(network, name))
    ours = {key: list(value.shape) for key, value in built.state_dict().items()}
    assert ours == dict(golden.load_golden(name).shapes)


def test_no_recording_is_left_out() -> None:
    narrow = {path.stem for path in golden.DATA.glob("*.json")}
    full = {path.stem for path in (golden.DATA / "full").glob("*.json")}
    assert narrow == {name for _, name in RECORDED}
    assert full == {name for case in golden.cases().values() for name in case.fulls}
