"""`sepcli export`: a model as an ONNX file, for programs that have no torch."""

from pathlib import Path
from typing import Annotated

import typer

from sepcli.cli import console, options
from sepcli.errors import ModelError, UsageError
from sepcli.files import refuse_taken, write_whole
from sepcli.models.registry import complete_model


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar=options.MODEL_FORMS, help="Model to export.", autocompletion=complete_model
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="File to write.")],
    chunk: options.Chunk = None,
    revision: options.Revision = "",
    overwrite: options.Overwrite = False,
) -> None:
    """Export a model to ONNX, for mixtures of one chunk, and check the file."""
    if file.suffix.lower() != ".onnx":
        raise UsageError(f"not a name of an ONNX file: {file}", "name it FILE.onnx")
    refuse_taken(file, overwrite=overwrite)
    console.result(_written(model, file, chunk, revision, overwrite=overwrite))


def _written(model: str, file: Path, chunk: float | None, revision: str, *, overwrite: bool) -> str:
    """Write the file and return the line that tells about it."""
    from sepcli.models.load import load_model
    from sepcli.models.onnx import HINT, check_graph, obstacle, onnx_graph, require_packages
    from sepcli.models.resolve import resolve_model

    require_packages()
    asked = resolve_model(model, revision=revision)
    if reason := obstacle(asked.config):
        raise ModelError(f"network cannot be written as ONNX: {asked.name}: {reason}", HINT)
    loaded = load_model(asked)
    if loaded.note:
        console.note(loaded.note)
    entry, network = loaded.entry, loaded.network
    num_samples = round((chunk or entry.chunk_seconds) * entry.sample_rate)
    graph = onnx_graph(network, num_samples, where=entry.name)
    check_graph(graph, network, num_samples, where=entry.name)
    write_whole(file, graph, overwrite=overwrite)
    shapes = f"[1, {num_samples}] to [1, {entry.speakers}, {num_samples}]"
    return f"{file}\t{shapes}\t{entry.sample_rate} Hz\t{len(graph) / 1e6:.1f} MB"
