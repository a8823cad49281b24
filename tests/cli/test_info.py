"""`sepcli info`: the table, one model, JSON; and no torch for the table."""

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sepcli.models.registry import DEFAULT_MODEL, find_entry, list_models
from tests.cli.runner import CommandLine
from tests.hub import Hub

info = importlib.import_module("sepcli.cli.info")  # the package has the command by that name


def test_lists_every_model(hub: Hub, sepcli: CommandLine) -> None:
    finished = sepcli("info")
    assert finished.code == 0
    names = [line.split()[0] for line in finished.lines[1:]]
    assert names == list_models()
    header = finished.lines[0]
    for title in ("speakers", "rate", "params", "download", "MAC/s", "licence", "score", "cached"):
        assert title in header
    line = next(line for line in finished.lines if line.startswith("sepformer-wsj03mix"))
    words = line.split()
    assert words[1:4] == ["3", "8", "kHz"]
    assert {"25.7", "113", "apache-2.0", "19.8"} <= set(words)
    assert words[-1] == "no"
    assert finished.err == ""
    assert hub.requests == []


def test_gives_one_object_a_line(hub: Hub, sepcli: CommandLine) -> None:
    records = [json.loads(line) for line in sepcli("info", "--json").lines]
    assert [record["name"] for record in records] == list_models()
    spgm = next(record for record in records if record["name"] == "spgm")
    assert spgm["fallback"] == "spgm-base"
    assert spgm["config"]["segment"] == 250
    assert spgm["parameters"] == 26208773


def test_tells_all_about_one(hub: Hub, sepcli: CommandLine, model_folder: Path) -> None:
    text = sepcli("info", model_folder).out
    for expected in ("8000 Hz", "model.safetensors", "chunks", "1 s, overlap 0.4 s", "blocks = 1"):
        assert expected in text
    record = json.loads(sepcli("info", model_folder, "--json").out)
    assert record["folder"] == str(model_folder)
    assert record["parameters"] == _parameters(model_folder)
    # Counted live: the encoder alone is 16 × 8 products every 8 samples.
    assert record["macs_per_second"] > 8000 * 16
    assert record["cached"]


def _parameters(folder: Path) -> int:
    from safetensors.torch import load_file

    state = load_file(folder / "model.safetensors")
    return sum(tensor.numel() for key, tensor in state.items() if not key.endswith(".pe"))


def test_tells_about_an_entry_without_its_weights(hub: Hub, sepcli: CommandLine) -> None:
    text = sepcli("info", "convtasnet-libri2mix-clean-8k").out
    assert "hf:JorisCos/ConvTasNet_Libri2Mix_sepclean_8k at main" in text
    assert "5,050,545" in text
    assert "4.98 G multiply-accumulates per second of audio (counted on 4 s at 8000 Hz)" in text
    assert hub.requests == []


def test_marks_the_default_and_what_separates_little(
    hub: Hub, sepcli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = find_entry(DEFAULT_MODEL)
    weak = dataclasses.replace(default, name="weak", scores={"dev SI-SDRi": 4.9})
    monkeypatch.setattr(info, "load_entries", lambda: {e.name: e for e in (default, weak)})
    _, first, second = sepcli("info").lines
    assert first.split()[-3:] == ["built", "in,", "default"] and "experimental" not in first
    assert second.rstrip().endswith("built in") and "4.9 dB dev SI-SDRi, experimental" in second
    records = [json.loads(line) for line in sepcli("info", "--json").lines]
    assert [record["experimental"] for record in records] == [False, True]


def test_says_what_is_cached(hub: Hub, sepcli: CommandLine) -> None:
    hub.serve("mpariente/DPRNNTasNet-ks2_WHAM_sepclean", "mpariente--DPRNNTasNet-ks2_WHAM_sepclean")
    assert sepcli("download", "dprnn-ks2-wham").code == 0
    line = next(line for line in sepcli("info").lines if line.startswith("dprnn-ks2-wham"))
    assert line.split()[-1] == "yes"


def test_a_fallback_counts_as_cached(hub: Hub, sepcli: CommandLine) -> None:
    hub.serve("yipjiaqi/spgm-base", "yipjiaqi--spgm-base")
    assert sepcli("download", "spgm-base").code == 0
    lines = {line.split()[0]: line.split()[-1] for line in sepcli("info").lines}
    assert (lines["spgm"], lines["spgm-base"], lines["spgm-opt"]) == ("yes", "yes", "no")


def test_names_and_notes_neither_move_the_cursor_nor_are_markup(
    hub: Hub, sepcli: CommandLine, model_folder: Path
) -> None:
    file = model_folder / "model.toml"
    file.write_text('note = "[/] [red]x[/red] \\u001b[31mred"\n' + file.read_text())
    finished = sepcli("info", model_folder)
    assert finished.code == 0
    assert r"[/] [red]x[/red] \x1b[31mred" in finished.out
    evil = model_folder.rename(model_folder.with_name("[bold]\x1b[31m"))
    finished = sepcli("info", evil)
    assert r"[bold]\x1b[31m" in finished.out.replace("\n", "")
    assert "\x1b" not in finished.out + finished.err


def test_counts_when_asked(hub: Hub, sepcli: CommandLine) -> None:
    said = json.loads(sepcli("info", "convtasnet-libri2mix-clean-8k", "--json").out)
    counted = json.loads(sepcli("info", "convtasnet-libri2mix-clean-8k", "--json", "--count").out)
    assert counted == said
    assert sepcli("info", "--count").code == 2


def test_an_unknown_model_is_one_line_and_a_hint(hub: Hub, sepcli: CommandLine) -> None:
    finished = sepcli("info", "spgm-bass")
    assert (finished.code, finished.out) == (1, "")
    assert finished.err.splitlines()[0] == "error: unknown model: spgm-bass"
    assert finished.err.splitlines()[1].startswith("hint: did you mean spgm-base")


@pytest.mark.parametrize("model", [None, "spgm", "stftformer-8k"])
def test_the_table_needs_neither_torch_nor_the_client(model: str | None) -> None:
    code = (
        f"import sys; from sepcli.cli.info import info; info({model!r});"
        "sys.exit(any(m in sys.modules for m in ('torch', 'huggingface_hub.file_download')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL)
    assert done.returncode == 0


def test_tells_about_voices(hub: Hub, sepcli: CommandLine) -> None:
    text = sepcli("info", "ecapa").out
    for expected in ("sepcli separate --voices ecapa", "83.3 MB", "apache-2.0", "VoxCeleb", "no"):
        assert expected in text
    record = json.loads(sepcli("info", "ecapa", "--json").out)
    assert (record["name"], record["cached"]) == ("ecapa", False)
    assert record["repo"] == "speechbrain/spkrec-ecapa-voxceleb"
    assert hub.requests == []
