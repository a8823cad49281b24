import pytest
import torch

from sepcli.models.build import Weightless
from sepcli.networks.groupcomm_sudormrf import Config, Network


def test_has_the_published_size() -> None:
    with Weightless():
        network = Network(Config())
    assert sum(p.numel() for p in network.parameters()) == 507_177
    state = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert state["encoder.weight"] == [512, 1, 21]
    assert state["sm.7.TAC.TAC_output.0.weight"] == [16, 96]
    assert state["sm.7.TAC.TAC_norm.gamma"] == [16]
    assert state["sm.0.UBlock.spp_dw.4.conv.weight"] == [32, 1, 5]
    assert state["sm.0.UBlock.final_norm.norm.beta"] == [32]
    assert state["mask_net.1.weight"] == [1024, 256, 1]
    assert state["decoder.weight"] == [1024, 2, 21]
    assert len(state) == 337


@pytest.mark.parametrize("time", [1, 50, 999])
@torch.inference_mode()
def test_estimates_add_up_to_the_mixture_at_any_level(time: int) -> None:
    torch.manual_seed(0)
    network = Network(Config(num_filters=12, channels=8, hidden=16, num_groups=4, num_blocks=1))
    mixture = 0.3 * torch.randn(1, time) + 0.1
    estimates = network(mixture)
    torch.testing.assert_close(estimates.sum(1), mixture, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(network(50 * mixture), 50 * estimates, atol=1e-4, rtol=1e-4)
