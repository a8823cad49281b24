"""`sepcli train` and `sepcli pack`: weights from speech, and speech in one file."""

import importlib
import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sepcli.cli import console, options
from sepcli.errors import OutputError, SepcliError, UsageError
from sepcli.files import refuse_replacing, refuse_taken

if TYPE_CHECKING:
    from sepcli.training.export import Measurement
    from sepcli.training.loop import Outcome
    from sepcli.training.recipe import Recipe

INSTALL_HINT = "install it with: pip install 'sepcli[train]'"


def train(
    recipe: Annotated[str, typer.Argument(help="Recipe: a name such as galr, or a TOML file.")],
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            help="Model folder; a run in it is resumed. Default: trained/ and the model's name.",
        ),
    ] = None,
    train_speech: Annotated[
        Path | None,
        typer.Option("--train", help="Speech to train on, in place of the recipe's."),
    ] = None,
    dev_speech: Annotated[
        Path | None,
        typer.Option("--dev", help="Speech to validate on, in place of the recipe's."),
    ] = None,
    noise: Annotated[
        Path | None, typer.Option("--noise", help="Noise, in place of the recipe's.")
    ] = None,
    rooms: Annotated[
        Path | None,
        typer.Option(
            "--rooms",
            help="Room impulse responses, NAME_1.wav, … per room, in place of the recipe's.",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="Model to start from: NAME, FOLDER, hf:ORG/REPO.")
    ] = "",
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=0, help="Stop after this many seconds; resumable.")
    ] = math.inf,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda or mps.")] = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a network on random mixtures of single-speaker speech.

    The result is a model folder that `sepcli separate --model FOLDER` takes. A run that was
    stopped or killed goes on where its last checkpoint was.
    """
    console.configure(quiet=quiet, verbose=verbose)
    try:
        for package in ("lightning.fabric", "tensorboard", "matplotlib"):
            importlib.import_module(package)
    except ImportError as problem:
        raise SepcliError("training needs the extra `train`", INSTALL_HINT) from problem
    from sepcli.separation.output_checks import prepare_folder
    from sepcli.training.recipe import find_recipe, read_recipe
    from sepcli.training.setup import missing, with_places

    settings = read_recipe(find_recipe(recipe))
    settings = with_places(settings, train=train_speech, dev=dev_speech, noise=noise, rooms=rooms)
    for line in missing(settings):
        console.warn(line)
    folder = output_dir or Path("trained") / (settings.model.name or settings.path.stem)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    prepare_folder(folder)
    _refuse_foreign(folder)
    try:
        outcome = _train(settings, folder, source, time_limit, device)
    finally:
        with suppress(OSError):  # the first that holds something stays, and so do those above it
            for each in made:
                each.rmdir()
    if outcome is not None:
        _report(outcome, folder, settings)


def _refuse_foreign(folder: Path) -> None:
    """Raise `OutputError` if there is what the run would write and none here has written."""
    from sepcli.models.registry import MODEL_FILE
    from sepcli.training.export import CURVE_FILE, LOG_FILE, WEIGHTS_FILE
    from sepcli.training.loop import CHECKPOINT_FILE

    names = (MODEL_FILE, WEIGHTS_FILE, LOG_FILE, CURVE_FILE)
    there = [path for path in (folder / name for name in names) if path.exists()]
    if there and not (folder / CHECKPOINT_FILE).exists():
        raise OutputError(
            f"a file is there that no run in this folder has made: {there[0]}",
            f"choose another --output-dir; to go on from weights that lie there, --from {folder}",
        )


def _train(
    settings: "Recipe", folder: Path, source: str, time_limit: float, device: str
) -> "Outcome | None":
    """Run the recipe; the outcome on the first process, None on all others."""
    from sepcli.training.launch import launch

    def show(row: "Measurement") -> None:
        console.note(
            f"step {row.step}: {row.hours:.2f} h, training SNR {row.train_snr_db:.2f} dB, "
            f"dev SI-SDRi {row.dev_si_sdri_db:.2f} dB"
        )

    with console.progress("training", total=settings.run.steps, unit="items") as bar:
        return launch(
            settings,
            folder,
            source=source,
            time_limit_seconds=time_limit,
            accelerator=device,
            note=console.note,
            warn=console.warn,
            on_step=lambda step: bar.update(completed=step),
            on_measurement=show,
        )


def _report(outcome: "Outcome", folder: Path, settings: "Recipe") -> None:
    """Say how the run went; the model folder is the result."""
    console.note(
        f"{outcome.audio_rate:.1f} s of mixtures a second; the optimiser took "
        f"{100 * outcome.optimiser_share:.1f} % of the time, waiting for mixtures "
        f"{100 * outcome.idle_share:.1f} %"
    )
    if outcome.skipped_steps:
        console.warn(f"left out {outcome.skipped_steps} steps without a finite gradient")
    if not outcome.finished:
        console.note(
            f"time is up; run the same command again to go on towards the last step: "
            f"{settings.run.steps}"
        )
    console.result(str(folder))


def pack(
    speech: Annotated[Path, typer.Argument(help="Folder SPEAKER/*.wav or manifest to pack.")],
    output: Annotated[Path, typer.Argument(help="The pack: one file that train and mix take.")],
    sample_rate: Annotated[
        int, typer.Option("--sample-rate", min=1000, help="Rate of the pack in Hz.")
    ] = 8000,
    coding: Annotated[str, typer.Option(help="opus (9 MB an hour) or flac (exact).")] = "opus",
    split: Annotated[str, typer.Option(help="Keep rows of this split of a manifest.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Put the speech of many speakers into one small file."""
    console.configure(quiet=quiet)
    from sepcli.training.dataset import find_speech
    from sepcli.training.pack import write_pack

    if coding not in ("opus", "flac"):
        raise UsageError(f"unknown coding: {coding}", "use opus or flac")
    refuse_taken(output, overwrite=overwrite)
    utterances = find_speech(speech, split=split)
    refuse_replacing(output, [speech, *(item.path for item in utterances)])
    with console.progress("packing", total=len(utterances), unit="items") as bar:
        skipped = write_pack(
            utterances,
            output,
            sample_rate,
            coding="flac" if coding == "flac" else "opus",
            on_progress=lambda count: bar.update(completed=count),
        )
    for line in skipped.lines():
        console.warn(line)
    console.result(str(output))
