"""`sepcli export`: the file, the line about it, and what cannot be written."""

from pathlib import Path

import pytest

from sepcli.models import onnx
from sepcli.models.registry import load_entries
from tests.cli.runner import CommandLine


def test_writes_the_default_model(sepcli: CommandLine, tmp_path: Path) -> None:
    import onnxruntime

    file = tmp_path / "model.onnx"
    done = sepcli("export", "stftformer-8k", file, "--chunk", 0.5)
    assert done.code == 0, done.err
    assert done.lines[0].split("\t")[:3] == [str(file), "[1, 4000] to [1, 2, 4000]", "8000 Hz"]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape) for one in session.get_inputs()] == [(onnx.INPUT, [1, 4000])]
    assert [one.name for one in session.get_outputs()] == [onnx.OUTPUT]
    content = file.read_bytes()
    again = sepcli("export", "stftformer-8k", file)
    assert (again.code, again.err.splitlines()[0]) == (
        1,
        f"error: output is already there: {file}",
    )
    assert file.read_bytes() == content


@pytest.mark.slow  # half a minute of a processor each
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "model", [entry.name for entry in load_entries().values() if entry.builtin]
)
def test_writes_every_model_of_the_package(sepcli: CommandLine, tmp_path: Path, model: str) -> None:
    done = sepcli("export", model, tmp_path / "model.onnx", "--chunk", 2)
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("model", "file", "code", "error"),
    [
        ("stftformer-8k", "model.txt", 2, "not a name of an ONNX file: "),
        ("sr-corrnet-wsj0-2-5mix", "m.onnx", 1, "network cannot be written as ONNX: sr-corrnet-"),
        ("absent", "m.onnx", 1, "unknown model: absent"),
        ("stftformer-8k", "absent/m.onnx", 1, "no such folder: "),
    ],
)
def test_what_cannot_be_is_one_line_and_a_hint(
    sepcli: CommandLine, tmp_path: Path, model: str, file: str, code: int, error: str
) -> None:
    done = sepcli("export", model, tmp_path / file)
    first, second = done.err.splitlines()
    assert (done.code, done.out) == (code, "")
    assert first.startswith(f"error: {error}")
    assert second.startswith("hint: ")
    assert not list(tmp_path.iterdir())
