"""Time the networks against SpeechBrain's and asteroid's own, on the same random weights, by turns.

    OMP_NUM_THREADS=1 python benchmarks/peers.py [--seconds 4 30] [--runs 3] [NAME ...]

Both packages are installed, without what they depend on, into a folder of their own (`--folder`).
Packages that they import but need for no forward pass are stood in for by empty modules. Each form
runs in a process of its own: ours as `sepcli separate` runs it, theirs as a script of their users
does, without settings of the allocator.

`ratio` is their processor time over ours, median of pairs; `without kernel` leaves out what the
system took for both, which is pages of memory above all; `memory` is the highest above what was
there before the first run; `differ` is the largest difference, relative to the largest sample.
"""

import argparse
import importlib.abc
import importlib.machinery
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sepcli.memory import keep_freed_memory
from sepcli.models.architectures import load_architecture, make_config
from sepcli.models.formats import asteroid as asteroid_format
from sepcli.models.registry import find_entry
from sepcli.networks import fast

PACKAGES = (
    "speechbrain==1.1.2",
    "asteroid==0.7.0",
    "asteroid-filterbanks==0.4.0",
    "hyperpyyaml==1.2.3",
    "ruamel.yaml==0.19.1",
    "julius==0.2.8",
)
STAND_INS = ("torchaudio", "sentencepiece", "requests", "torch_stoi", "pytorch_lightning")
MODELS = (
    "sepformer-wsj02mix",
    "resepformer-wsj02mix",
    "convtasnet-libri2mix-clean-8k",
    "dprnn-ks16-wham",
)
MEGABYTE = 1e6


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


def asteroid(name: str, names: Mapping[str, str]) -> Callable[[Mapping[str, Any]], nn.Module]:
    """Return what makes a network of asteroid from our configuration.

    Args:
        name: Of its class.
        names: Argument → field of our configuration.
    """

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
    "convtasnet": asteroid("ConvTasNet", asteroid_format._CONV_TASNET),
    "dprnn": asteroid("DPRNNTasNet", asteroid_format._DPRNN),
}


def built(who: str, name: str, state: Path) -> nn.Module:
    """Return a network in eval mode; ours leaves its weights in a file, theirs takes them."""
    entry = find_entry(name)
    if who == "theirs":
        network = THEIRS[entry.architecture](entry.config)
        network.load_state_dict(torch.load(state))
        return network.eval()
    keep_freed_memory()
    torch.manual_seed(0)
    plain = load_architecture(entry.architecture, where=name).Network(
        make_config(entry.architecture, dict(entry.config), where=name)
    )
    torch.save(plain.state_dict(), state)
    return fast.optimize(plain.eval())


def memory(field: str) -> float:
    """Return a field of this process's memory in /proc/self/status [MB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024 / MEGABYTE


@torch.inference_mode()
def work(who: str, name: str, seconds: float, folder: Path) -> None:
    """Run once, then again for each line of stdin; print what each took, as JSON."""
    network = built(who, name, folder / "state.pt")
    samples = round(seconds * find_entry(name).sample_rate)
    mixture = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    np.save(folder / f"{who}.npy", network(mixture).numpy())
    print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        start = resource.getrusage(resource.RUSAGE_SELF)
        network(mixture)
        stop = resource.getrusage(resource.RUSAGE_SELF)
        user, system = stop.ru_utime - start.ru_utime, stop.ru_stime - start.ru_stime
        high = memory("VmHWM") - before
        print(json.dumps({"user": user, "system": system, "memory": high}), flush=True)


def row(name: str, seconds: float, runs: int, packages: Path) -> str:
    """Return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        workers = {}
        for who in ("ours", "theirs"):
            arguments = [name, "--folder", packages, "--worker", who, folder, "--seconds", seconds]
            workers[who] = subprocess.Popen(
                [sys.executable, __file__, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            answer(workers[who])
        pairs = [{who: turn(worker) for who, worker in workers.items()} for _ in range(runs)]
        for worker in workers.values():
            worker.communicate()
        ours, theirs = (np.load(Path(folder) / f"{who}.npy") for who in workers)
    differ = np.abs(ours - theirs).max() / np.abs(theirs).max()

    def middle(value: Callable[[Any], float]) -> float:
        return statistics.median(map(value, pairs))

    ours_s, theirs_s = (
        middle(lambda pair, who=who: pair[who]["user"] + pair[who]["system"]) for who in workers
    )
    ratio = middle(
        lambda pair: (
            sum(pair["theirs"][part] for part in ("user", "system"))
            / sum(pair["ours"][part] for part in ("user", "system"))
        )
    )
    user = middle(lambda pair: pair["theirs"]["user"] / pair["ours"]["user"])
    high = " | ".join(f"{pairs[-1][who]['memory']:.0f} MB" for who in workers)
    return (
        f"| {name} | {seconds:g} s | {ours_s:.2f} s | {theirs_s:.2f} s | {ratio:.2f} | {user:.2f} "
        f"| {high} | {differ:.0e} |"
    )


def turn(worker: "subprocess.Popen[str]") -> dict[str, float]:
    """Return what the next run of a worker took."""
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    return answer(worker)


def answer(worker: "subprocess.Popen[str]") -> dict[str, float]:
    """Return what a worker says next; end with it where it says nothing."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            return found
    raise SystemExit("error: a network could not be run, see above")


def install(folder: Path) -> None:
    """Install both packages into a folder, unless they are there."""
    if (folder / "speechbrain").is_dir() and (folder / "asteroid").is_dir():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*map(str, command), *PACKAGES], check=True)


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--seconds", type=float, nargs="+", default=[4, 30], help="of audio")
    parser.add_argument("--runs", type=int, default=3, help="of each")
    parser.add_argument("--folder", type=Path, default=Path("build/peers"), help="of packages")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    install(options.folder)
    sys.path.append(str(options.folder))
    sys.meta_path.append(StandInFinder())
    if options.worker:
        who, folder = options.worker
        return work(who, options.names[0], options.seconds[0], Path(folder))
    columns = "network | audio | ours | theirs | ratio | without kernel | ours | theirs | differ"
    print(f"| {columns} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.names:
        for seconds in options.seconds:
            print(row(name, seconds, options.runs, options.folder), flush=True)


if __name__ == "__main__":
    main()
