import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from sepcli.errors import OutputError
from sepcli.files.temporary import host_token
from sepcli.page import Page
from tests.cli.runner import CommandLine, Finished
from tests.doubles import RATE, two_voices


def write_mixture(path: Path) -> Path:
    soundfile.write(path, two_voices(1.5).sum(axis=0), RATE)
    return path


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    return write_mixture(tmp_path / "mix.wav")


class Reporting:
    def __init__(self, sepcli: CommandLine, model: Path) -> None:
        self._sepcli, self._model = sepcli, model

    def __call__(self, *arguments: object) -> Finished:
        return self._sepcli("separate", "--report", "new/page.html", "-m", self._model, *arguments)


@pytest.fixture
def reporting(sepcli: CommandLine, model_folder: Path) -> Reporting:
    return Reporting(sepcli, model_folder)


def shown() -> list[dict]:
    text = Path("new/page.html").read_text("utf-8")
    return [json.loads(data) for data in re.findall(r'class="data">(.*?)</script>', text)]


@pytest.mark.parametrize("arguments", [(), ("--layout", "channels", "--start", "0.5")])
def test_the_page_shows_what_json_says(
    reporting: Reporting, mixture: Path, arguments: tuple[str, ...]
) -> None:
    done = reporting(mixture, "--json", *arguments)
    assert (done.code, done.err) == (0, "")
    (record,), (data,) = map(json.loads, done.lines), shown()
    assert data["seconds"] == pytest.approx(record["seconds"], abs=0.01)
    assert [track["name"] for track in data["tracks"]] == ["recording", "spk1", "spk2"]
    for speaker, track in zip(record["speakers"], data["tracks"][1:], strict=True):
        turns = [t for t in record["turns"] if t["speaker"] == speaker["name"]]
        expected = [[turn["start_seconds"], turn["end_seconds"]] for turn in turns]
        assert track["turns"] == expected
        assert track["heard"] == pytest.approx(record["seconds"], abs=0.01)
    expected = [(place["start_seconds"], place["end_seconds"]) for place in record["uncertain"]]
    assert [tuple(place[:2]) for place in data["uncertain"]] == expected
    assert 'href="../separated/' in Path("new/page.html").read_text("utf-8")


def test_what_is_not_shown_is_said(reporting: Reporting, mixture: Path, tmp_path: Path) -> None:
    write_mixture(tmp_path / "other.wav")
    reporting(mixture)
    Path("new/page.html").unlink()
    done = reporting(mixture, "other.wav", "gone.wav", "--skip-existing")
    assert done.code == 1
    text = Path("new/page.html").read_text("utf-8")
    assert len(shown()) == 1
    missed = re.findall(r'<p class="missed"><b>(.*?)</b>: (.*?)</p>', text)
    assert missed == [
        ("gone.wav", "no such file or folder: gone.wav"),
        (str(mixture), "skipped, its outputs were there"),
    ]


def test_what_a_killed_run_left_of_its_page_goes(reporting: Reporting, mixture: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = Path(f"new/.sepcli-{host_token()}-{killed.pid}-{1:016x}.part")
    left.parent.mkdir()
    left.touch()
    assert reporting(mixture).code == 0
    assert [path.name for path in Path("new").iterdir()] == ["page.html"]


def test_nothing_is_replaced_without_being_told(reporting: Reporting, mixture: Path) -> None:
    Path("new").mkdir()
    Path("new/page.html").write_text("mine")
    done = reporting(mixture)
    assert done.code == 1
    assert done.err.startswith("error: output is already there: new/page.html\nhint: move it away")
    assert Path("new/page.html").read_text() == "mine"
    assert not Path("separated").exists()
    assert reporting(mixture, "--overwrite").code == 0
    assert len(shown()) == 1
    soundfile.write("new/page.html", two_voices(1.0).sum(axis=0), RATE, format="WAV")
    refused = reporting("new/page.html", "--overwrite")
    assert refused.err.startswith("error: output would replace an input: new/page.html")
    Path("new/page.html").unlink()
    Path("new/page.html").mkdir()
    refused = reporting(mixture, "-o", "elsewhere", "--overwrite")
    assert refused.err.startswith("error: cannot write (is a directory): new/page.html")
    assert not Path("elsewhere").exists()


def test_a_link_that_leads_nowhere_is_there_already(reporting: Reporting, mixture: Path) -> None:
    Path("new").mkdir()
    Path("new/page.html").symlink_to("gone.html")
    done = reporting(mixture)
    assert done.code == 1
    assert done.err.startswith("error: output is already there: new/page.html")
    assert not Path("separated").exists()
    assert reporting(mixture, "--overwrite").code == 0
    assert len(shown()) == 1


@pytest.mark.parametrize(
    "arguments,says",
    [
        (("--report", "page.wav"), "a report is a page, and not named so: page.wav"),
        (("--channels",), "--channels uses no network and takes no: --model, --report"),
    ],
)
def test_what_cannot_be_is_refused(
    reporting: Reporting, mixture: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = reporting(mixture, *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {says}")
    assert not Path("separated").exists()


def test_a_page_that_cannot_be_written_ends_no_run(
    reporting: Reporting, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(page: Page, talk: object) -> None:
        raise OutputError("cannot write (no space left on device): page.html")

    monkeypatch.setattr(Page, "add", refuse)
    done = reporting(mixture)
    assert done.code == 1
    assert done.lines == ["separated/mix_spk1.wav", "separated/mix_spk2.wav"]
    assert done.err.startswith("error: cannot write (no space left on device)")
    assert not list(Path("new").iterdir())
