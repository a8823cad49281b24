"""A network heard several times: the mean of its estimates for shifted copies of a mixture.

Where the frames of a network fall, and which way up a waveform is, changes its estimates but not
what was said, so their mean errs less. Shifts are those of "Music Source Separation in the Waveform
Domain" (Défossez et al., 2019, https://arxiv.org/abs/1911.13254), but fixed ones: a run gives the
same twice.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from sepcli.networks.layers.order import reordered

SHIFT_SAMPLES = 101  # a prime, so that no network's frames fall in the same places again


class Shifted(nn.Module):
    """Mean of several runs of a network: `[batch, time]` → `[batch, speakers, time]`.

    The first hears the mixture as it is, each further one a copy that begins later than the last,
    every other one upside down. Estimates are put in the order of the first before they are added.

    Args:
        network: `[batch, time]` → `[batch, speakers, time]`.
        count: How many runs, two or more.
    """

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__()
        self.network = network
        self.count = count

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimates `[batch, speakers, time]` for a mixture `[batch, time]`."""
        first: Tensor = self.network(mixture)
        total = first
        for number in range(1, self.count):
            shift, sign = number * SHIFT_SAMPLES, (-1) ** number
            later = self.network(F.pad(sign * mixture, (shift, 0)))
            total = total + reordered(sign * later[..., shift:], first)
        return total / self.count
