import pytest

from sepcli.networks.tiger import Config


@pytest.mark.parametrize("stride", [640, 641])
def test_a_stride_that_leaves_samples_out_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride must be less than window: {stride}"):
        Config(window=640, stride=stride)
