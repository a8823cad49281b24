"""Voices from the hub, through the real client, to embeddings."""

import dataclasses
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sepcli.errors import ModelError, WeightsError
from sepcli.models.cache import cached_files
from sepcli.models.hub import fetch_files
from sepcli.separation.speakers.embedding import VOICES, load_embed, voices
from tests.hub import Hub

MINIATURE = Path(__file__).parents[3] / "data" / "voices" / "speechbrain--spkrec-ecapa-voxceleb"


@pytest.fixture
def narrow(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Return a hub with the miniature, and the table without the digests of the real files."""
    hub.serve(voices.ECAPA.repo, MINIATURE)
    known = dataclasses.replace(voices.ECAPA, sha256=MappingProxyType({}))
    monkeypatch.setattr(voices, "VOICES", {"ecapa": known})
    return hub


@torch.inference_mode()
def test_the_repository_gives_the_published_embeddings(narrow: Hub) -> None:
    network = voices.load_ecapa(fetch_files(voices.VOICES["ecapa"]))
    recorded = load_file(f"{MINIATURE}.expected.safetensors")
    ours, wanted = network(recorded["in"]), recorded["out"][:, 0]
    assert (ours - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert not network.training


def test_embeds_any_rate_and_needs_no_network_again(narrow: Hub) -> None:
    embed = load_embed("ecapa")
    recorded = load_file(f"{MINIATURE}.expected.safetensors")
    for row, wanted in zip(recorded["in"].numpy(), recorded["out"][:, 0].numpy(), strict=True):
        voice = embed(row, 16_000)
        np.testing.assert_allclose(voice, wanted / np.linalg.norm(wanted), atol=1e-5)
    asked = len(narrow.requests)
    time = np.arange(32_000) / 16_000
    chirp = np.sin(2 * np.pi * (200 + 400 * time) * time).astype(np.float32)
    again = load_embed("ecapa")
    # bands above 4 kHz, empty in both, differ by the resampler's filter
    assert again(chirp[::2].copy(), 8_000) @ again(chirp, 16_000) > 0.9
    assert len(narrow.requests) == asked


@pytest.mark.parametrize("num_samples", [0, 1, 100])
def test_hardly_anything_has_an_embedding(narrow: Hub, num_samples: int) -> None:
    voice = load_embed("ecapa")(np.zeros(num_samples, np.float32), 8_000)
    assert voice.shape == (12,)
    assert voice.dtype == np.float32
    assert np.linalg.norm(voice) == pytest.approx(1.0, abs=1e-5)


def test_tells_its_progress(narrow: Hub) -> None:
    seen: list[tuple[str, int, int]] = []
    load_embed("ecapa", on_progress=lambda *step: seen.append(step))
    size = (MINIATURE / "embedding_model.ckpt").stat().st_size
    assert ("embedding_model.ckpt", size, size) in seen


def test_other_files_than_the_known_ones_are_refused(hub: Hub) -> None:
    hub.serve(voices.ECAPA.repo, MINIATURE)
    with pytest.raises(WeightsError, match="is not the file that is known"):
        load_embed("ecapa")


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ModelError, match="unknown voices: eccapa") as caught:
        load_embed("eccapa")
    assert caught.value.hint == "did you mean ecapa?"
    with pytest.raises(ModelError, match="unknown voices: None"):
        load_embed(None)  # type: ignore[arg-type]


def test_offline_it_says_what_to_run(narrow: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="not in the cache, and HF_HUB_OFFLINE is set") as caught:
        load_embed("ecapa")
    assert "`sepcli download ecapa`" in caught.value.hint


def test_weights_of_another_size_do_not_fit(narrow: Hub, tmp_path: Path) -> None:
    text = (MINIATURE / "hyperparams.yaml").read_text()
    assert "lin_neurons: 12" in text
    (tmp_path / "hyperparams.yaml").write_text(text.replace("lin_neurons: 12", "lin_neurons: 13"))
    weights = tmp_path / "embedding_model.ckpt"
    weights.write_bytes((MINIATURE / "embedding_model.ckpt").read_bytes())
    files = {path.name: path for path in tmp_path.iterdir()}
    with pytest.raises(WeightsError, match="weights do not fit voices ecapa"):
        voices.load_ecapa(files)


def test_every_voice_model_says_where_it_is_from() -> None:
    for name, model in VOICES.items():
        assert model.name == name
        assert model.license
        assert len(model.revision) == 40
        assert set(model.sha256) == set(model.files)
        assert cached_files(model) is None or model.download_bytes
