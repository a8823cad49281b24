"""SpeechBrain's and asteroid's own networks, made from our configurations; peers.py times them.

Both packages are installed, without what they depend on, into a folder of their own. Packages that
they import but need for no forward pass are stood in for by empty modules.
"""

import importlib.abc
import importlib.machinery
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sepcli.models.formats import asteroid as asteroid_format

PACKAGES = (
    "speechbrain==1.1.2",
    "asteroid==0.7.0",
    "asteroid-filterbanks==0.4.0",
    "hyperpyyaml==1.2.3",
    "ruamel.yaml==0.19.1",
    "julius==0.2.8",
)
STAND_INS = ("torchaudio", "sentencepiece", "requests", "torch_stoi", "pytorch_lightning")


class StandIn(types.ModuleType):
    """A module all of whose names are empty classes."""

    __path__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for a package of the list that is not installed."""

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Return where the package comes from: here."""
        if name.split(".")[0] not in STAND_INS:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: there is nothing in it."""


class SpeechBrain(nn.Module):
    """What `SepformerSeparation.separate_batch` does with encoder, masknet and decoder."""

    def __init__(self, config: Mapping[str, Any], channels: int, masknet: nn.Module) -> None:
        super().__init__()
        from speechbrain.lobes.models.dual_path import Decoder, Encoder

        kernel = config["kernel_size"]
        self.encoder = Encoder(kernel_size=kernel, out_channels=channels)
        self.masknet = masknet
        self.decoder = Decoder(channels, 1, kernel, stride=kernel // 2, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Return `[batch, speakers, time]`."""
        encoded = self.encoder(mixture)
        masked = self.masknet(encoded) * torch.stack([encoded] * 2)
        estimates = torch.stack([self.decoder(each) for each in masked], 1)
        short = mixture.shape[1] - estimates.shape[2]
        return nn.functional.pad(estimates, (0, short))


def sepformer(config: Mapping[str, Any]) -> nn.Module:
    """Return SpeechBrain's SepFormer."""
    from speechbrain.lobes.models.dual_path import Dual_Path_Model, SBTransformerBlock

    channels, across, within = (
        config["channels"],
        *(
            SBTransformerBlock(
                config[f"{which}_layers"],
                config["channels"],
                config[f"{which}_heads"],
                config[f"{which}_hidden"],
                use_positional_encoding=True,
                norm_before=True,
            )
            for which in ("across", "segment")
        ),
    )
    masknet = Dual_Path_Model(
        channels,
        channels,
        within,
        across,
        config["blocks"],
        K=config["segment"],
        linear_layer_after_inter_intra=False,
    )
    return SpeechBrain(config, config["encoder_channels"], masknet)


def resepformer(config: Mapping[str, Any]) -> nn.Module:
    """Return SpeechBrain's RE-SepFormer."""
    from speechbrain.lobes.models.resepformer import (
        ResourceEfficientSeparator,
        SBTransformerBlock_wnormandskip,
    )

    across, within = (
        SBTransformerBlock_wnormandskip(
            config[f"{which}_layers"],
            config["channels"],
            config["heads"],
            config["hidden"],
            use_positional_encoding=True,
            norm_before=True,
            use_norm=True,
            use_skip=True,
            norm_type="gln",
        )
        for which in ("memory", "segment")
    )
    masknet = ResourceEfficientSeparator(
        config["channels"],
        causal=False,
        layer=config["blocks"],
        segment_size=config["segment"],
        mem_type="av",
        seg_model=within,
        mem_model=across,
    )
    return SpeechBrain(config, config["channels"], masknet)


def asteroid(name: str) -> Callable[[Mapping[str, Any]], nn.Module]:
    """Return what makes a network of asteroid, by the name of its class, from our configuration."""
    names = asteroid_format.NETWORKS[name][1]

    def make(config: Mapping[str, Any]) -> nn.Module:
        import asteroid.models

        chosen = {theirs: config[ours] for theirs, ours in names.items() if ours in config}
        if chosen.get("encoder_activation") == "none":
            chosen["encoder_activation"] = None
        network: nn.Module = getattr(asteroid.models, name)(**chosen)
        return network

    return make


THEIRS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "sepformer": sepformer,
    "resepformer": resepformer,
    "convtasnet": asteroid("ConvTasNet"),
    "dprnn": asteroid("DPRNNTasNet"),
}


def make_importable(folder: Path) -> None:
    """Make both packages importable from a folder; install them into it unless they are there."""
    if not all((folder / name).is_dir() for name in ("speechbrain", "asteroid")):
        options = ["--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *PACKAGES], check=True)
    sys.path.append(str(folder))
    sys.meta_path.append(StandInFinder())
