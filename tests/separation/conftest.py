from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "spools"
    monkeypatch.setenv("SEPCLI_SPOOL", str(folder))
    return folder
