from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from sepcli.networks.srcorrnet import Config
from tests.networks.golden import Case


def config(recorded: Mapping[str, Any]) -> Config:
    return Config(
        num_speakers=recorded["max_n_spks"],
        counts=recorded["is_var_spks"],
        window=recorded["stft"]["frame_length"],
        stride=recorded["stft"]["frame_shift"],
        taps_freq=tuple(recorded["taps_freq"]),
        taps_frame=tuple(recorded["taps_frame"]),
        dim=recorded["d_model"],
        heads=recorded["n_head"],
        hidden=recorded["d_hidden"],
        cross_hidden=recorded["d_hidden_spk"],
        kernel_size=recorded["kernel_size"],
        encoder_blocks=recorded["N_Enc"],
        decoder_blocks=recorded["N_Dec"],
    )


def filled_up(sizes: Config, mixture: Tensor, estimates: Tensor) -> Tensor:
    """The published code leaves out silent speakers and the samples that fill no frame."""
    _, speakers, time = estimates.shape
    absent = max(0, sizes.num_speakers - speakers)
    return F.pad(estimates, (0, mixture.shape[-1] - time, 0, absent))


CASE = Case(
    goldens=(
        "srcorrnet",
        "srcorrnet-whamr",
        "srcorrnet-var",
        "srcorrnet-var-all",
        "srcorrnet-var-none",
    ),
    fulls=(
        "srcorrnet-wsj-fix-2spk",
        "srcorrnet-wsj-fix-2spk-l-dm",
        "srcorrnet-wsj-var-2-5spk",
        "srcorrnet-whamr",
    ),
    config=config,
    deviation=filled_up,
)
