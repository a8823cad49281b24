import base64
import hashlib
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.errors import AudioError, OutputError
from sepcli.page import Page, Talk, Track, document
from sepcli.page.document import _link
from tests.page.talks import talk_in

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\udcff\n.wav"


class Elements(HTMLParser):
    """Collects elements with their attributes, and what stands inside each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))
        self._open = tag
        self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open][-1] += data

    def of(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [each for name, each in self.found if name == tag and wanted.items() <= each.items()]


def page_of(folder: Path, *talks: Talk) -> str:
    with Page(folder / "page.html", overwrite=False) as page:
        for talk in talks:
            page.add(talk)
        page.publish()
    return (folder / "page.html").read_text("utf-8")


def data_of(elements: Elements) -> dict:
    (index,) = (
        number
        for number, each in enumerate(elements.of("script"))
        if each.get("type") == "application/json"
    )
    return json.loads(elements.inside["script"][index])


def test_each_waveform_has_sound_picture_and_link(tmp_path: Path) -> None:
    elements = Elements(page_of(tmp_path, talk_in(tmp_path)))
    names = ["recording", "spk1", "spk2", "spk3"]
    assert elements.inside["h2"] == ["talk.wav"]
    assert [each["alt"] for each in elements.of("img")] == [f"Spectrogram of {n}" for n in names]
    assert len(elements.of("audio", preload="none")) == 4
    assert [each["href"] for each in elements.of("a")] == ["talk.wav"] + 3 * ["talk_speakers.wav"]
    assert elements.inside["li"] == ["a remark"]
    for each in elements.of("audio"):
        assert base64.b64decode(each["src"].removeprefix("data:audio/ogg;base64,"))[:4] == b"OggS"


def test_turns_and_doubts_are_those_of_the_talk(tmp_path: Path) -> None:
    data = data_of(Elements(page_of(tmp_path, talk_in(tmp_path))))
    assert data["seconds"] == 6.0
    assert [track["turns"] for track in data["tracks"]] == [
        [],
        [[0.5, 2.0], [5.5, 6.0]],
        [[1.5, 3.0]],
        [[4.0, 5.0]],
    ]
    assert [track["heard"] for track in data["tracks"]] == 4 * [6.0]
    assert data["uncertain"] == [[2.0, 2.5, 0.12]]


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    talk = replace(talk_in(tmp_path, HOSTILE, HOSTILE), remarks=(HOSTILE,))
    (tmp_path / "talk.wav").rename(tmp_path / "a #?%:<b>.wav")
    odd = replace(talk.tracks[0], path=tmp_path / "a #?%:<b>.wav")
    talk = replace(talk, tracks=(odd, *talk.tracks[1:]))
    with Page(tmp_path / "page.html", overwrite=False) as page:
        page.add(talk)
        page.add_missed(HOSTILE, HOSTILE)
        page.publish()
    elements = Elements((tmp_path / "page.html").read_text("utf-8"))
    assert len(elements.of("img")) == 4
    assert not [each for _, each in elements.found if any(key.startswith("on") for key in each)]
    assert len(elements.of("script")) == 2
    shown = HOSTILE.replace("\udcff", "\\xff").replace("\n", "\\n")
    assert data_of(elements)["tracks"][1]["name"] == shown + "1"
    assert elements.of("h2")[0]["title"] == shown
    assert elements.of("a")[0]["href"] == "a%20%23%3F%25%3A%3Cb%3E.wav"


@pytest.mark.skipif(os.name == "nt", reason="there it parts folders")
def test_a_backslash_in_a_name_is_no_folder(tmp_path: Path) -> None:
    assert _link(tmp_path / "a\\b.wav", tmp_path) == "a%5Cb.wav"


def test_nothing_is_fetched_and_no_other_script_runs(tmp_path: Path) -> None:
    text = page_of(tmp_path, talk_in(tmp_path))
    elements = Elements(text)
    (policy,) = elements.of("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "data:"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        digest = hashlib.sha256(elements.inside[tag][-1].encode()).digest()
        assert rules[rule] == f"'sha256-{base64.b64encode(digest).decode()}'"
    sources = [each[key] for _, each in elements.found for key in ("src", "srcset") if key in each]
    assert all(source.startswith("data:") for source in sources)
    assert not elements.of("link") and not elements.of("iframe")
    assert not [each for _, each in elements.found if "style" in each or "onclick" in each]
    assert "http" not in re.sub(r"base64,[\w+/=]*", "", text).replace("http-equiv", "")


def test_controls_have_names(tmp_path: Path) -> None:
    elements = Elements(page_of(tmp_path, talk_in(tmp_path)))
    assert elements.of("html", lang="en") and elements.of("meta", name="viewport")
    assert elements.of("input", type="range", **{"aria-label": "Position"})
    assert elements.of("p", role="status")
    assert len(elements.of("button", **{"aria-pressed": "false"})) == 4
    groups = [each["aria-label"] for each in elements.of("div", role="group")]
    assert groups[1:] == [f"Turns of {name}" for name in ("recording", "spk1", "spk2", "spk3")]


def test_a_long_recording_takes_bounded_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "MOST_SOUND_BYTES", 60_000)
    monkeypatch.setattr("sepcli.page.spectrogram.MOST_COLUMNS", 500)
    sizes = []
    for number, seconds in enumerate((20, 40)):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, seconds * 8000)
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, noise, 8000)
        tracks = tuple(Track(f"spk{k}", path, None, k) for k in range(2))
        folder = tmp_path / str(number)
        folder.mkdir()
        text = page_of(folder, Talk("long", float(seconds), tracks, (), ()))
        heard = [track["heard"] for track in data_of(Elements(text))["tracks"]]
        assert all(0 < each < seconds for each in heard)
        sizes.append(len(text))
    # a second of sound beyond what is allowed, in base64, and pictures of two pixels a byte
    own = len(document._head()) + len(document._own("page.js")) + 5000
    most = 4 / 3 * (60_000 + 2 * 12_000 + 2 * 500 * 64 // 2 * 1.01) + own
    assert max(sizes) < most
    assert abs(sizes[1] - sizes[0]) < 0.1 * sizes[0]


def test_a_large_page_goes_on_without_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "MOST_PAGE_BYTES", 50_000)
    elements = Elements(page_of(tmp_path, talk_in(tmp_path), talk_in(tmp_path)))
    assert len(elements.of("section")) == 2
    assert (len(elements.of("audio")), len(elements.of("img"))) == (4, 8)


def test_too_many_turns_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MOST_TURNS", 3)
    elements = Elements(page_of(tmp_path, talk_in(tmp_path)))
    assert sum(len(track["turns"]) for track in data_of(elements)["tracks"]) == 3
    assert elements.inside["li"] == ["a remark", "only the first 3 turns are marked"]


def test_a_page_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    talk = talk_in(tmp_path)
    gone = replace(talk, tracks=(replace(talk.tracks[0], path=tmp_path / "gone.wav"),))
    with Page(tmp_path / "page.html", overwrite=False) as page:
        page.add(talk)
        before = page._num_bytes
        with pytest.raises(AudioError):
            page.add(gone)
        assert page._num_bytes == before
    assert not [path for path in tmp_path.iterdir() if "talk" not in path.name]
    page_of(tmp_path, talk)
    with pytest.raises(OutputError, match="already there"):
        page_of(tmp_path, talk)
