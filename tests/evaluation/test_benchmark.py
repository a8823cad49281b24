import io
import json
import statistics
import sys
from pathlib import Path

import pytest

import sepcli
from sepcli.errors import ModelError, SepcliError
from sepcli.evaluation import benchmark
from sepcli.evaluation.benchmark import Setting, measure

RECIPE = """
[model]
architecture = "gc3"
sample_rate = 8000
[model.config]
num_filters = 8
hidden = 8
num_layers = 1
num_groups = 2
context = 4
segment = 4
[data]
train = "nowhere"
dev = "nowhere"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return str(path)


def test_figures_agree_with_each_other(recipe: str) -> None:
    found = measure(Setting(model=recipe, chunk_seconds=0.25, batch_size=2, runs=2, device="cpu"))
    assert found.random_weights and found.sample_rate == 8000 and found.batch_size == 2
    assert 0 < found.fastest_seconds <= found.seconds
    assert found.real_time_factor == pytest.approx(found.seconds / 0.5)
    assert found.gflops == pytest.approx(2 * found.macs_per_second * 0.5 / found.seconds / 1e9)
    assert found.share == pytest.approx(found.gflops / found.product_gflops)
    assert found.peak_bytes > 50e6  # torch alone holds more
    assert found.parameters > 100
    assert found.times_fp32 is None and found.si_sdr_to_fp32_db is None


def test_a_lower_precision_has_its_price(recipe: str) -> None:
    found = measure(
        Setting(model=recipe, chunk_seconds=0.25, runs=1, device="cpu", precision="bf16")
    )
    assert found.times_fp32 is not None and found.times_fp32 > 0
    assert found.si_sdr_to_fp32_db is not None
    assert 0 < found.si_sdr_to_fp32_db < 80  # 8 bits of mantissa; fp32 would be beyond 100 dB


def test_the_worker_answers_in_json(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for model, key in ((recipe, "seconds"), ("no-such-model", "error")):
        asked = {"model": model, "chunk_seconds": 0.1, "runs": 1, "device": "cpu"}
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
        monkeypatch.setattr(sys, "stdout", out)
        benchmark.serve()
        assert key in json.loads(out.getvalue())


def test_a_worker_that_dies_is_a_known_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "WORKER", "import sys; sys.exit('killed by a test')")
    with pytest.raises(SepcliError, match="measuring spgm ended with 1: killed by a test"):
        benchmark.run(Setting(model="spgm"))


def test_a_worker_passes_failures_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"error": "no weights", "hint": "get some"})
    monkeypatch.setattr(benchmark, "WORKER", f"print({answer!r})")
    with pytest.raises(SepcliError, match="no weights") as caught:
        benchmark.run(Setting(model="spgm"))
    assert caught.value.hint == "get some"


def test_a_worker_runs_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("statistics.py", "sepcli.py"):
        (tmp_path / name).write_text("raise SystemExit('somebody else')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*filter(None, sys.path)])
    found = "f'{sepcli.__file__} {statistics.__file__}'"
    answer = f"json.dumps({{'error': {found}, 'hint': ''}})"
    monkeypatch.setattr(benchmark, "WORKER", f"import json, sepcli, statistics; print({answer})")
    with pytest.raises(SepcliError) as caught:
        benchmark.run(Setting(model="spgm"))
    assert caught.value.message == f"{sepcli.__file__} {statistics.__file__}"


def test_unknown_models_are_said() -> None:
    with pytest.raises(ModelError):
        measure(Setting(model="no-such-model", device="cpu"))
