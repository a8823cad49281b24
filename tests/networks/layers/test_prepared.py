import pytest
import torch
from torch import Tensor, nn

from sepcli.networks import layers, mossformer2


class Doubled(layers.Prepared):
    """Twice what its linear layer says."""

    sources = ("linear",)

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, features: Tensor) -> Tensor:
        weight, bias = self.weights()
        return layers.linear(features, weight, bias)

    def _made(self) -> list[Tensor]:
        return [2 * self.linear.weight, 2 * self.linear.bias]


def test_prepared_modules_let_go_of_what_their_weights_are_made_of() -> None:
    network = nn.Sequential(nn.Linear(5, 5), Doubled())
    features = torch.randn(3, 5)
    with torch.no_grad():
        before = network(features)
        layers.prepare(network)
        torch.testing.assert_close(network(features), before)
    assert [name for name, _ in network.named_parameters()] == ["0.weight", "0.bias"]


SMALL = mossformer2.Config(
    channels=24, layers=2, memory_channels=10, group=16, query_channels=8, kernel_size=8
)


@pytest.mark.parametrize("num_samples", [301, 304])
def test_a_prepared_network_gives_the_same_numbers(num_samples: int) -> None:
    torch.manual_seed(0)
    network = mossformer2.Network(SMALL).eval()
    for name, gain in network.named_parameters():
        if name.endswith("mdl.0.g"):
            nn.init.constant_(gain, 1.5)
    mixture = 0.1 * torch.randn(2, num_samples)
    with torch.inference_mode():
        before = network(mixture)
        layers.prepare(network)
        torch.testing.assert_close(network(mixture), before)
    torch.testing.assert_close(network(mixture), before)  # with gradients, without the fused kernel


@pytest.mark.parametrize("norm_first", [True, False])
def test_prepared_transformers_give_the_same_numbers(norm_first: bool) -> None:
    torch.manual_seed(0)
    stack = layers.Transformer(2, 24, 3, 40, norm_first=norm_first).eval()
    sequences = torch.randn(3, 50, 24)
    with torch.inference_mode():
        before = stack(sequences)
        layers.prepare(stack)
        torch.testing.assert_close(stack(sequences), before)
    assert not [name for name, _ in stack.named_parameters() if "norm" not in name]


def test_a_prepared_network_runs_in_other_precisions_too() -> None:
    torch.manual_seed(0)
    network = mossformer2.Network(SMALL).eval()
    mixture = 0.1 * torch.randn(1, 300)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        before = network(mixture)
        layers.prepare(network)
        assert torch.equal(network(mixture), before)
