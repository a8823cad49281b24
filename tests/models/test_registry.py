"""The table of models, the user's own, and folders."""

import subprocess
import sys
from pathlib import Path

import pytest

from sepcli.errors import ModelError
from sepcli.models import registry
from sepcli.models.registry import (
    DEFAULT_MODEL,
    chosen_model,
    complete_model,
    entry_from_folder,
    find_entry,
    list_models,
    load_entries,
    user_table_path,
)

BODY = """
architecture = "convtasnet"
format = "safetensors"
files = ["model.safetensors"]
speakers = 2
sample_rate = 8000
"""


@pytest.fixture(autouse=True)
def config_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def _write_user_table(text: str) -> Path:
    file = user_table_path()
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def test_the_table_holds_the_founding_models() -> None:
    names = list_models()
    assert {"spgm", "spgm-base", "sepformer-wsj02mix", "tdanet-2ms", "tiger-speech"} <= set(names)
    assert DEFAULT_MODEL in names
    assert find_entry("spgm").fallback == "spgm-base"


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ModelError, match="unknown model: spgm-bas") as caught:
        find_entry("spgm-bas")
    assert "did you mean spgm-base" in caught.value.hint
    assert "sepcli info" in caught.value.hint


def test_completes_names() -> None:
    assert complete_model("spgm-") == ["spgm-base", "spgm-opt"]
    assert complete_model("nothing") == []


def test_completion_survives_a_broken_table() -> None:
    _write_user_table("= broken")
    assert complete_model("spgm") == []


def test_the_users_entries_come_on_top() -> None:
    _write_user_table(f'[mine]\nrepo = "me/mine"\n{BODY}\n[spgm-opt]\nrepo = "me/opt"\n{BODY}')
    entries = load_entries()
    assert entries["mine"].repo == "me/mine"
    assert entries["spgm-opt"].repo == "me/opt"
    assert list(entries).index("spgm-opt") < list(entries).index("mine")


NAMES = "use letters, digits, dots, dashes and underscores"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "= broken",
            "not valid TOML: {file}: Invalid statement (at line 1, column 1)",
            "correct the file",
        ),
        ("stray = 1", "key outside of a model entry in {file}: stray", ModelError.usual_hint),
        (f'["a b"]\nrepo = "a/b"\n{BODY}', "bad model name in {file}: 'a b'", NAMES),
        (
            f'[x]\nrepo = "a/b"\nfallback = "spmg"\n{BODY}',
            "fallback of model x is unknown: spmg",
            "did you mean spgm or spgm-opt?",
        ),
        (
            f"[x]\n{BODY}",
            "missing key in model entry x of {file}: repo",
            "add the hub repository: repo = `ORG/NAME`",
        ),
    ],
)
def test_a_wrong_user_table_is_named_in_one_line(text: str, message: str, hint: str) -> None:
    file = _write_user_table(text)
    with pytest.raises(ModelError) as caught:
        load_entries()
    assert (caught.value.message, caught.value.hint) == (message.format(file=file), hint)


def test_a_user_table_that_is_no_text() -> None:
    file = _write_user_table("")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="not valid TOML"):
        load_entries()
    file.unlink()
    with pytest.raises(ModelError, match=r"cannot read .*models\.toml: No such file or directory"):
        registry.read_toml(file)


def test_the_users_own_table_lies_in_the_configuration_folder(config_home: Path) -> None:
    assert user_table_path() == config_home / "sepcli" / "models.toml"


def test_reads_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(BODY)
    entry = entry_from_folder(tmp_path)
    assert (entry.name, entry.folder, entry.builtin) == (str(tmp_path), tmp_path, False)


def test_a_folder_needs_its_description(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        entry_from_folder(tmp_path)
    assert caught.value.message == f"no model.toml in model folder: {tmp_path}"
    assert caught.value.hint == "write model.toml beside the weights as the README describes"
    with pytest.raises(ModelError) as caught:
        entry_from_folder(tmp_path / "absent")
    assert caught.value.message == f"no such model folder: {tmp_path / 'absent'}"
    assert caught.value.hint == "run `sepcli info` for the known models"
    file = tmp_path / "model.toml"
    file.write_text(f'repo = "a/b"\n{BODY}')
    with pytest.raises(ModelError, match="may not have the key repo"):
        entry_from_folder(tmp_path)
    file.write_text(BODY.replace("speakers = 2", "speakers = 0"))
    with pytest.raises(ModelError, match=f"in model entry {tmp_path} of {file}: speakers must be"):
        entry_from_folder(tmp_path)


def test_weights_inside_the_package_are_entries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "networks" / "little"
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text(BODY)
    monkeypatch.setattr(registry, "_INSIDE", tmp_path / "networks")
    assert load_entries()["little"].builtin
    assert find_entry("little").folder == folder


def test_torch_is_not_imported() -> None:
    code = "import sys; from sepcli.models.registry import load_entries as l; l(); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_of_ones_own_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SEPCLI_MODEL", raising=False)
    file = user_table_path().with_name("config.toml")
    file.parent.mkdir(parents=True)
    assert chosen_model() == ""
    file.write_text('model = "spgm-base"')
    assert chosen_model() == "spgm-base"
    monkeypatch.setenv("SEPCLI_MODEL", "tiger-speech")
    assert chosen_model() == "tiger-speech"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEPCLI_MODEL", "~/mine")  # as it comes out of quotes, or a file of settings
    assert chosen_model() == str(tmp_path / "mine")
    monkeypatch.delenv("SEPCLI_MODEL")
    file.write_text('model = "~/mine"')
    assert chosen_model() == str(tmp_path / "mine")
    for wrong, told in (('modell = "spgm"', "modell = spgm"), ("model = 3", "model = 3")):
        file.write_text(wrong)
        with pytest.raises(ModelError, match=f"unknown setting in .*: {told}$"):
            chosen_model()


def test_files_of_the_package_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    load_entries()
    monkeypatch.setattr(registry, "read_toml", lambda file: pytest.fail(str(file)))
    assert load_entries()
