import pytest
import torch

from sepcli.networks.dptnet import Config, Layer
from sepcli.networks.layers import recurrent


def test_layer_treats_sequences_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "HIDDEN_BYTES", 1)
    monkeypatch.setattr(recurrent, "FEWEST", 16)  # several groups
    torch.manual_seed(0)
    layer = Layer(Config(num_filters=8, hidden=5, num_heads=2), bidirectional=True).eval()
    sequences = torch.randn(9, 40, 8).transpose(0, 1)  # strided, as between two layers
    together = layer(sequences)
    for index in (0, 17, 39):
        assert torch.allclose(together[index], layer(sequences[index : index + 1])[0], atol=1e-5)


@pytest.mark.parametrize("wrong", [{"stride": 17}, {"hop": 0}, {"num_heads": 5}])
def test_refuses_sizes_that_do_not_fit(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)
