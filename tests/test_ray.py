import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sepcli.ray import Separate, _rows
from sepcli.separation.separator import SeparationOptions, Separator
from tests.doubles import RATE, Identity, conversation, entry, hear_bands, two_voices

ROOT = Path(__file__).parents[1]


@pytest.fixture
def separate(tmp_path: Path) -> Separate:
    """Return the stage with a network that gives each speaker a share of the mixture."""
    stage = Separate(output_dir=tmp_path / "out", root=tmp_path / "in")
    stage._loaded = Separator(Identity(), entry(level="as-is"), SeparationOptions(device="cpu"))
    return stage


def write_mixture(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, two_voices(seconds).sum(axis=0), RATE)
    return path


def test_it_is_small_when_it_travels(separate: Separate) -> None:
    assert separate._loaded is not None
    copy = pickle.loads(pickle.dumps(separate))  # noqa: S301 (our own)
    assert copy._loaded is None
    assert len(pickle.dumps(separate)) < 2000
    assert (copy._folder, copy._root) == (separate._folder, separate._root)


def test_warnings_are_told_and_no_row_ends_its_batch(separate: Separate, tmp_path: Path) -> None:
    path = write_mixture(tmp_path / "in/a.wav", 2.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    stereo = np.empty(2, object)
    stereo[:] = list(two_voices(0.5))
    rows = separate.rows(
        [
            {"amplitude": "abc", "sample_rate": RATE, "id": 1},
            {"amplitude": stereo, "sample_rate": float(RATE), "id": 2},
            {"audio_filepath": "a.wav", "id": 3},
        ]
    )
    found = {row["id"]: row for row in rows}
    assert found[1]["error"] == "not a waveform: str"
    assert (found[2]["error"], found[2]["warnings"], found[2]["sample_rate"]) == ("", [], RATE)
    assert "samples could not be read" in found[3]["warnings"][0]


def test_paths_in_and_a_row_a_speaker_out_again_and_again(
    separate: Separate, tmp_path: Path
) -> None:
    write_mixture(tmp_path / "in/x/a.wav")
    write_mixture(tmp_path / "in/a.wav")
    write_mixture(tmp_path / "in/a.flac")
    recordings: list[dict[str, Any]] = [
        {"audio_filepath": str(tmp_path / "in/a.wav"), "text": "hello"},
        {"audio_filepath": "x/a.wav", "offset": 0.25, "duration": 0.125},
        {"audio_filepath": str(tmp_path / "in/a.flac")},
    ]
    rows = separate.rows(recordings)
    assert {row["error"] for row in rows} == {""}
    written = [str(Path(row["audio_filepath"]).relative_to(tmp_path / "out")) for row in rows]
    assert sorted(written) == [
        "a_flac_spk1.wav",
        "a_flac_spk2.wav",
        "a_wav_spk1.wav",
        "a_wav_spk2.wav",
        "x/a_0.250-0.375_wav_spk1.wav",
        "x/a_0.250-0.375_wav_spk2.wav",
    ]
    assert all(soundfile.info(r["audio_filepath"]).duration == r["duration"] for r in rows)
    assert {row["audio_filepath"] for row in rows if row.get("text") == "hello"} == {
        str(tmp_path / f"out/a_wav_spk{n}.wav") for n in (1, 2)
    }
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.wav")}
    again = separate.rows(recordings)
    assert again == [row | {"margins": None} for row in rows]
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.wav")}


@pytest.mark.parametrize("num_channels", [1, 2])
def test_arrays_in_and_arrays_out(separate: Separate, num_channels: int) -> None:
    mono = two_voices(0.5).sum(axis=0).astype(np.float32)
    recording = {"amplitude": np.stack([mono] * num_channels), "sample_rate": RATE, "path": "s3:a"}
    first, second = separate.rows([recording])
    np.testing.assert_allclose(first.pop("amplitude"), 0.75 * mono, atol=1e-6)  # float32 sums
    np.testing.assert_allclose(second.pop("amplitude"), 0.25 * mono, atol=1e-6)
    assert first == {
        "duration": 0.5,
        "speaker": "spk1",
        "sample_rate": RATE,
        "margins": [],
        "path": "s3:a",
        "error": "",
        "warnings": [],
    }
    assert second == first | {"speaker": "spk2"}


def test_a_column_of_rates_may_have_gaps(separate: Separate, tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/a.wav")
    mono = two_voices(0.5).sum(axis=0).astype(np.float32)
    columns = {
        "amplitude": [mono, None, mono],
        "sample_rate": np.array([RATE, np.nan, RATE + 0.5]),  # so that all are floats
        "audio_filepath": [None, "a.wav", None],
    }
    rows = separate.rows(_rows(columns))
    assert [(row["error"], row.get("speaker", "")) for row in rows] == [
        ("", "spk1"),
        ("", "spk2"),
        ("not a sample rate: 8000.5 Hz", ""),
        ("", "spk1"),
        ("", "spk2"),
    ]
    assert rows[0]["sample_rate"] == RATE and isinstance(rows[0]["sample_rate"], int)


def test_what_cannot_be_done_has_a_row_that_says_why(separate: Separate, tmp_path: Path) -> None:
    write_mixture(tmp_path / "in/good.wav")
    outside = write_mixture(tmp_path / "elsewhere.wav")
    rows = separate.rows(
        [
            {"audio_filepath": "none.wav", "text": "kept"},
            {"audio_filepath": str(outside)},
            {"amplitude": np.zeros(8)},
            {"path": "a.wav"},
            {"audio_filepath": "good.wav"},
        ]
    )
    failed = {row["error"]: row for row in rows if row["error"]}
    assert len(rows) == len(failed) + 2
    assert sorted(message.split(":")[0] for message in failed) == [
        "no sample_rate beside amplitude",
        "no such file",
        "recording is not below the root",
        "row of the dataset",
    ]
    (missing,) = [row for message, row in failed.items() if "no such file" in message]
    assert missing == {
        "error": f"no such file: {tmp_path / 'in/none.wav'}",
        "source_audio_filepath": "none.wav",
        "text": "kept",
    }


def test_columns_in_and_a_table_out(separate: Separate, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_mixture(tmp_path / "in/a.wav")
    names = np.array(["a.wav", "none.wav"], dtype=object)
    table = separate({"audio_filepath": names, "offset": np.array([np.nan, 0.0])})
    rows = table.to_pylist()
    assert sorted(row["error"] for row in rows)[:2] == ["", ""]
    assert [row["duration"] for row in rows if not row["error"]] == [0.5, 0.5]
    assert str(table.schema.field("margins").type).startswith("list<")
    assert separate({"audio_filepath": np.array([])}).num_rows == 0


@pytest.fixture
def only_bob(tmp_path: Path) -> Separate:
    """Return the stage where bob alone is wanted."""
    known = {}
    for name, person in (("alice", "0"), ("bob", "1")):
        known[name] = tmp_path / f"{name}.wav"
        soundfile.write(known[name], conversation(person, 3.0), RATE)
    options = SeparationOptions(device="cpu", known=known, only="bob", people=2)
    stage = Separate(output_dir=tmp_path / "out", root=tmp_path / "in")
    stage._loaded = Separator(Identity(), entry(level="as-is"), options, embed=hear_bands)
    return stage


@pytest.mark.parametrize("in_memory", [False, True])
def test_who_is_wanted_and_not_heard_has_a_row(
    only_bob: Separate, tmp_path: Path, in_memory: bool
) -> None:
    (tmp_path / "in").mkdir()
    batches = []
    for people in ("0202", "0101"):
        talk = conversation(people, 2.0)
        soundfile.write(tmp_path / f"in/{people}.wav", talk, RATE)
        fields: dict[str, Any] = {"audio_filepath": f"{people}.wav", "text": people}
        if in_memory:
            fields = {"amplitude": talk, "sample_rate": RATE, "text": people}
        batches.append([fields])
    ((nobody,), (bob,)) = map(only_bob.rows, batches)
    assert (bob["speaker"], bob["text"], bob["error"]) == ("bob", "0101", "")
    assert (nobody["speaker"], nobody["text"], nobody["error"]) == (None, "0202", "")
    assert nobody["duration"] == 8.0
    assert nobody.keys() == bob.keys()
    if not in_memory:
        assert nobody["source_audio_filepath"] == "0202.wav"
        assert "bob is not heard, nothing was written" in nobody["warnings"][0]
    pytest.importorskip("pyarrow")
    tables = [only_bob({key: [value] for key, value in rows[0].items()}) for rows in batches]
    assert [table.num_rows for table in tables] == [1, 1]
    assert tables[0].schema.names == tables[1].schema.names


@pytest.mark.parametrize("root", [".", "in/..", "./"])
def test_a_root_may_be_relative_where_paths_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    path = write_mixture(tmp_path / "in/a.wav")
    monkeypatch.chdir(tmp_path)
    stage = Separate(output_dir="out", root=root)
    stage._loaded = Separator(Identity(), entry(level="as-is"), SeparationOptions(device="cpu"))
    rows = stage.rows([{"audio_filepath": str(path)}, {"audio_filepath": "in/a.wav"}])
    assert {row["error"] for row in rows} == {""}
    assert {Path(row["audio_filepath"]) for row in rows} == {
        tmp_path / f"out/in/a_wav_spk{number}.wav" for number in (1, 2)
    }


CLUSTER = """
import runpy, sys, threading, time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from sepcli.ray import Separate, _rows

done, nodes = Path("out").absolute(), Path("nodes").absolute()
nodes.mkdir()


class Slow(Separate):
    def __call__(self, batch):
        table = super().__call__(batch)
        (nodes / ray.get_runtime_context().get_node_id()).touch()
        time.sleep(1)  # files are written, and their rows are not given yet
        return table


def kill_in_the_middle():
    while not (nodes / doomed.node_id).exists() or len(list(done.glob("*_spk2.wav"))) < 5:
        time.sleep(0.01)
    print("killed", len(list(done.glob("*_spk2.wav"))))
    cluster.remove_node(doomed, allow_graceful=False)


cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
doomed = cluster.add_node(num_cpus=4)
ray.init(address=cluster.address)
example = runpy.run_path(sys.argv[1])["main"]
example.__globals__["Separate"] = Slow
killer = threading.Thread(target=kill_in_the_middle, daemon=True)
killer.start()
example("in", "out")
assert not killer.is_alive()
rows = ray.data.read_parquet(str(done / "rows")).take_all()
names = {row["audio_filepath"] for row in rows}
print("rows", len(rows), len(names), {row["error"] for row in rows}, flush=True)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_recording_is_there_once_where_a_node_dies(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "in").mkdir()
    for number in range(40):
        samples = two_voices(2.0, number).sum(axis=0)
        soundfile.write(tmp_path / f"in/{number:02}.wav", samples, RATE)
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, ROOT / "examples/ray_folder.py"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout.splitlines()
    killed, rows = (line.split() for line in said if line.startswith(("killed ", "rows ")))
    assert 5 <= int(killed[1]) < 40
    assert rows[1:] == ["80", "80", "{''}"]
    assert _separated_here(tmp_path) == {
        path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.wav")
    }


def _separated_here(folder: Path) -> dict[str, bytes]:
    """Return what one process without Ray writes."""
    separate = Separate(output_dir=folder / "here", root=folder / "in")
    rows = separate.rows([{"audio_filepath": path.name} for path in (folder / "in").iterdir()])
    paths = [Path(row["audio_filepath"]) for row in rows]
    return {path.name: path.read_bytes() for path in paths}
