"""The voice models that `--voices` takes: where they come from, and how they are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from sepcli.errors import ModelError, did_you_mean
from sepcli.models.entry import Source
from sepcli.models.hub import OnProgress, fetch_files
from sepcli.separation.speakers.embedding import builtin
from sepcli.separation.speakers.evidence import Embed

if TYPE_CHECKING:  # torch: only for voices that need it
    from sepcli.separation.speakers.embedding import ecapa

Array = np.ndarray[Any, np.dtype[np.float32]]

BUILTIN = "builtin"
# from what likeness on a voice is that of a name: docs/speaker-order.md; of ecapa, its publisher's
MIN_LIKENESS: Mapping[str, float] = MappingProxyType({BUILTIN: 0.80, "ecapa": 0.25})


@dataclass(frozen=True, kw_only=True)
class VoiceModel(Source):
    """One published voice embedding.

    Attributes:
        config: Sizes of the network, where its repository does not say them.
        license: SPDX identifier of the weights' licence.
        paper: Address of the paper.
        trained_on: Training data.
        note: One line worth knowing, shown by `sepcli info NAME`.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    license: str
    paper: str
    trained_on: str
    note: str = ""


ECAPA = VoiceModel(
    name="ecapa",
    repo="speechbrain/spkrec-ecapa-voxceleb",
    revision="0f99f2d0ebe89ac095bcc5903c4dd8f72b367286",
    files=("hyperparams.yaml", "embedding_model.ckpt"),
    sha256=MappingProxyType(
        {
            "hyperparams.yaml": "6f78854fa04ba59e761437b76a2575d3aba5e5016de3e9b69f0c9a5077fb1a41",
            "embedding_model.ckpt": (
                "0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2"
            ),
        }
    ),
    download_bytes=83_318_605,
    license="apache-2.0",
    paper="https://arxiv.org/abs/2005.07143",
    trained_on="VoxCeleb 1 and 2",
    note="sizes unconfirmed: those that its numbers of parameters and tensors leave",
    config=MappingProxyType(
        {
            "num_mels": 80,
            "channels": (1024, 1024, 1024, 1024, 3072),
            "kernel_sizes": (5, 3, 3, 3, 1),
            "dilations": (1, 2, 3, 4, 1),
            "scale": 8,
            "gate_channels": 128,
            "attention_channels": 128,
            "dims": 192,
        }
    ),
)

VOICES: Mapping[str, VoiceModel] = MappingProxyType({ECAPA.name: ECAPA})

# Arguments of SpeechBrain's class in hyperparams.yaml → ours.
_ECAPA_ARGUMENTS = {
    "input_size": "num_mels",
    "channels": "channels",
    "kernel_sizes": "kernel_sizes",
    "dilations": "dilations",
    "res2net_scale": "scale",
    "se_channels": "gate_channels",
    "attention_channels": "attention_channels",
    "lin_neurons": "dims",
}


def load_embed(name: str = BUILTIN, *, on_progress: OnProgress | None = None) -> Embed:
    """Return the function that embeds a waveform `[samples]` at a rate [Hz] as `[dims]`.

    Args:
        name: `builtin`, or a name of `VOICES`, whose weights are fetched where they are not here.
        on_progress: Called with (file, bytes done, bytes in all) while a download runs.

    Raises:
        ModelError: There are no voices of that name.
        WeightsError: The weights cannot be fetched, are unsafe, or do not fit.
    """
    if name == BUILTIN:
        return builtin.load_embed()
    if name not in VOICES:
        raise ModelError(f"unknown voices: {name}", did_you_mean(str(name), (BUILTIN, *VOICES)))
    return _embed_with(load_ecapa(fetch_files(VOICES[name], on_progress=on_progress)))


def load_ecapa(files: Mapping[str, Path]) -> "ecapa.Network":
    """Return ECAPA-TDNN with the weights of a SpeechBrain repository, in eval mode.

    Args:
        files: Path by name, as `VoiceModel.files` lists them.

    Raises:
        ModelError: hyperparams.yaml says sizes that make no network.
        WeightsError: A file is damaged or unsafe, or the weights do not fit.
    """
    from sepcli.models.architectures import checked_config
    from sepcli.models.build import assign_weights, build_empty
    from sepcli.models.checkpoints import read_state
    from sepcli.models.config_files import read_yaml
    from sepcli.models.formats.speechbrain import arguments_of
    from sepcli.separation.speakers.embedding import ecapa

    where = f"voices {ECAPA.name}"
    said = arguments_of(read_yaml(files["hyperparams.yaml"]), "ECAPA_TDNN")
    sizes = {ours: said[key] for key, ours in _ECAPA_ARGUMENTS.items() if key in said}
    config = checked_config(ecapa.Config, {**ECAPA.config, **sizes}, where=where)
    network = build_empty(lambda: ecapa.Network(config), where=where)
    assign_weights(network, read_state(files["embedding_model.ckpt"]), where=where)
    return network.eval()


def _embed_with(network: "ecapa.Network") -> Embed:
    """Return `network` as a function of arrays, at any rate; embeddings have length one."""
    import torch

    from sepcli.separation.speakers.embedding.ecapa import SAMPLE_RATE

    def embed(samples: Array, sample_rate: int) -> Array:
        if sample_rate != SAMPLE_RATE:
            samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
        with torch.inference_mode():
            voice = network(torch.from_numpy(samples).unsqueeze(0))[0].numpy()
        return np.asarray(voice / max(float(np.linalg.norm(voice)), 1e-12), dtype=np.float32)

    return embed
