"""What each format makes of a repository's files, where the files say it in an unusual way."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from sepcli.errors import ModelError, WeightsError
from sepcli.models.checkpoints import read_torch
from sepcli.models.foreign import shown
from sepcli.models.formats import DETECTION_ORDER, load_format
from tests.hub import HUB_DATA


def _describe(name: str, *files: Path) -> Any:
    return load_format(name, where="x").describe({file.name: file for file in files})


def _read(name: str, *files: Path, architecture: str = "any") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_format(name, where="x").read(
        {file.name: file for file in files}, architecture
    )
    return state


def _saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_every_format_keeps_its_contract() -> None:
    for name in DETECTION_ORDER:
        reader = load_format(name, where="x")
        assert all(isinstance(file, str) for file in (*reader.files, *reader.config_files))
        assert callable(reader.module.describe)
        assert callable(reader.module.read)
    with pytest.raises(ModelError, match="unknown format of x: asteroids"):
        load_format("asteroids", where="x")


ODD = [
    ("asteroid", "pytorch_model.bin", {"model_name": ["ConvTasNet"]}),
    ("look2hear", "pytorch_model.bin", {"model_name": ["TDANet"]}),
    (
        "look2hear",
        "pytorch_model.bin",
        {"model_name": "TDANet", "state_dict": {"encoder.weight": torch.tensor(1.0)}},
    ),
    (
        "asteroid",
        "pytorch_model.bin",
        {"model_name": "ConvTasNet", "model_args": {"sample_rate": float("nan")}},
    ),
    (
        "asteroid",
        "pytorch_model.bin",
        {"model_name": "ConvTasNet", "model_args": {"fb_name": [["x"] * 10**5] * 100}},
    ),
    ("mixin", "config.json", {"model_type": ["spgm"], "config_name": {}, "sample_rate": 10**400}),
]


@pytest.mark.parametrize(("name", "file", "content"), ODD)
def test_odd_values_are_one_line_or_nothing(
    tmp_path: Path, name: str, file: str, content: Any
) -> None:
    path = tmp_path / file
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        torch.save(content, path)
    try:
        found = _describe(name, path)
    except WeightsError as failure:
        assert "\n" not in failure.message
        assert len(failure.message) < 200
    else:
        assert found is None


class TestSpeechbrain:
    FOLDER = HUB_DATA / "speechbrain--sepformer-wsj02mix"

    def _changed(self, tmp_path: Path, old: str, new: str) -> Path:
        text = (self.FOLDER / "hyperparams.yaml").read_text()
        assert old in text
        (tmp_path / "hyperparams.yaml").write_text(text.replace(old, new))
        return tmp_path / "hyperparams.yaml"

    def test_reads_the_configuration(self) -> None:
        found = _describe("speechbrain", self.FOLDER / "hyperparams.yaml")
        assert (found.architecture, found.speakers, found.sample_rate) == ("sepformer", 2, 8000)
        assert found.config["segment_heads"] == 2
        assert found.config["across_hidden"] == 20

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("skip_around_intra: True", "skip_around_intra: False"),
            ("norm: ln", "norm: gln"),
            ("norm_before: True", "norm_before: False"),
        ],
    )
    def test_refuses_a_variant_that_is_not_built(self, tmp_path: Path, old: str, new: str) -> None:
        with pytest.raises(WeightsError, match="variant that is not built here"):
            _describe("speechbrain", self._changed(tmp_path, old, new))

    def test_a_reference_to_itself_or_to_nothing_says_nothing(self, tmp_path: Path) -> None:
        file = self._changed(tmp_path, "num_spks: 2\n", "num_spks: !ref <num_spks>\n")
        assert _describe("speechbrain", file).speakers == 0
        file = self._changed(tmp_path, "K: 50", "K: !ref <absent>")
        assert "segment" not in _describe("speechbrain", file).config

    def test_another_network_is_not_taken_for_it(self, tmp_path: Path) -> None:
        file = self._changed(tmp_path, "dual_path.Dual_Path_Model", "other.Model")
        assert _describe("speechbrain", file) is None

    def test_names_the_missing_module(self) -> None:
        with pytest.raises(WeightsError, match=r"no masknet\.ckpt"):
            _read("speechbrain", self.FOLDER / "encoder.ckpt", self.FOLDER / "decoder.ckpt")


class TestAsteroid:
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "n_src": 2,
        "n_filters": 6,
        "kernel_size": 4,
        "stride": 2,
    }

    def _file(self, tmp_path: Path, name: str = "ConvTasNet", **arguments: Any) -> Path:
        content = {"model_name": name, "model_args": self.ARGUMENTS | arguments}
        return _saved(tmp_path / "pytorch_model.bin", content | {"state_dict": {}})

    def test_an_old_file_has_the_values_of_its_time(self, tmp_path: Path) -> None:
        found = _describe("asteroid", self._file(tmp_path))
        assert found.sample_rate == 8000
        assert found.config["encoder_activation"] == "none"
        assert found.config["causal"] is False
        found = _describe("asteroid", self._file(tmp_path, "DPTNet"))
        assert found.config["encoder_activation"] == "relu"
        found = _describe("asteroid", self._file(tmp_path, "DPTNet", encoder_activation=None))
        assert found.config["encoder_activation"] == "none"
        found = _describe("asteroid", self._file(tmp_path, "DPRNNTasNet", hop_size=None))
        assert (found.architecture, "hop" in found.config) == ("dprnn", False)
        assert found.config["multiply"] is False

    def test_another_filterbank_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError) as caught:
            _describe("asteroid", self._file(tmp_path, fb_name="STFT" + 90 * "x"))
        assert caught.value.message == f"filterbank is not built here: 'STFT{52 * 'x'}..."
        assert _describe("asteroid", self._file(tmp_path, fb_name="free")) is not None

    def test_says_for_how_many_speakers_and_at_which_rate(self, tmp_path: Path) -> None:
        found = _describe("asteroid", self._file(tmp_path, n_src=3, sample_rate=16000.0))
        assert (found.speakers, found.sample_rate) == (3, 16000)
        assert found.config["num_speakers"] == 3
        found = _describe("asteroid", self._file(tmp_path, n_src="3", sample_rate="fast"))
        assert (found.speakers, found.sample_rate) == (0, 0)

    def test_reads_the_state_dict_and_nothing_else(self, tmp_path: Path) -> None:
        file = _saved(tmp_path / "w.bin", {"state_dict": {"a": torch.ones(2)}, "infos": "b"})
        state = _read("asteroid", file)
        assert list(state) == ["a"] and torch.equal(state["a"], torch.ones(2))
        with pytest.raises(WeightsError, match=r"no weights by name in w\.bin"):
            _read("asteroid", _saved(tmp_path / "w.bin", {"state_dict": 3}))

    def test_other_files_are_not_taken_for_it(self, tmp_path: Path) -> None:
        assert _describe("asteroid", self._file(tmp_path, "DCCRNet")) is None
        assert _describe("asteroid", _saved(tmp_path / "w.bin", {"a": torch.zeros(1)})) is None
        with pytest.raises(WeightsError, match="no model_args"):
            _describe("asteroid", _saved(tmp_path / "w.bin", {"model_name": "ConvTasNet"}))
        with pytest.raises(WeightsError, match="no state_dict"):
            _read("asteroid", _saved(tmp_path / "w.bin", {"a": torch.zeros(1)}))


class TestLook2hear:
    FILE = HUB_DATA / "JusperLee--TDANetBest-2ms-LRS2" / "pytorch_model.bin"

    def test_scant_arguments_are_made_up_for_by_the_weights(self, tmp_path: Path) -> None:
        full = _describe("look2hear", self.FILE)
        content = read_torch(self.FILE)
        content["model_args"] = {"n_src": 2}
        scant = _describe("look2hear", _saved(tmp_path / "pytorch_model.bin", content))
        assert (scant.speakers, scant.sample_rate) == (2, 16000)
        assert {**scant.config, "repeats": full.config["repeats"]} == full.config
        assert (full.architecture, full.config["gated"]) == ("tdanet", True)
        content["model_args"] = {"sample_rate": 8000}
        assert _describe("look2hear", _saved(tmp_path / "w.bin", content)).sample_rate == 8000
        content["model_args"] = {"sample_rate": "fast"}
        assert _describe("look2hear", _saved(tmp_path / "w.bin", content)).sample_rate == 16000
        content |= {"model_args": "none", "state_dict": {"encoder.weight": torch.zeros(4, 1, 8)}}
        bare = _describe("look2hear", _saved(tmp_path / "w.bin", content))
        assert (bare.speakers, bare.sample_rate) == (0, 16000)
        assert bare.config == {"window": 8, "gated": True}
        weights = _read("look2hear", self.FILE)
        assert weights["encoder.weight"].shape[-1] == scant.config["window"]
        assert len(weights) > 100
        with pytest.raises(WeightsError, match=r"no weights by name in w\.bin"):
            _read("look2hear", _saved(tmp_path / "w.bin", {"state_dict": 3}))

    def test_other_files_are_not_taken_for_it(self, tmp_path: Path) -> None:
        assert _describe("look2hear", _saved(tmp_path / "w.bin", {"model_name": "X"})) is None
        with pytest.raises(WeightsError, match="no state_dict"):
            _read("look2hear", _saved(tmp_path / "w.bin", {"model_name": "X"}))


class TestMixin:
    def _config(self, tmp_path: Path, **content: Any) -> Path:
        (tmp_path / "config.json").write_text(json.dumps(content))
        return tmp_path / "config.json"

    TIGER: ClassVar[dict[str, Any]] = {
        "num_blocks": 8,
        "upsampling_depth": 5,
        "win": 640,
        "stride": 160,
        "num_sources": 2,
        "sample_rate": 16000,
    }

    def test_tigers_bands_follow_from_rate_and_window(self, tmp_path: Path) -> None:
        found = _describe("mixin", self._config(tmp_path, **self.TIGER))
        assert found.config["bands"] == [1] * 40 + [4] * 10 + [10] * 8 + [20] * 8 + [1]
        assert found.config["heads"] == 4

        assert (found.architecture, found.speakers, found.sample_rate) == ("tiger", 2, 16000)
        odd = _describe("mixin", self._config(tmp_path, **self.TIGER | {"win": 641}))
        assert odd.config["bands"] == found.config["bands"]

    @pytest.mark.parametrize(
        ("sample_rate", "message"),
        [
            (48000, "too few bins for the bands of TIGER: 321 at 48000 Hz"),
            (1, "too few bins for the bands of TIGER: 321 at 1 Hz"),
            (0, "not a window and a rate: 640, 0"),
            ("fast" * 20, f"not a window and a rate: 640, '{'fast' * 14}..."),
        ],
    )
    def test_tiger_at_another_rate_is_refused(
        self, tmp_path: Path, sample_rate: Any, message: str
    ) -> None:
        with pytest.raises(WeightsError) as caught:
            _describe("mixin", self._config(tmp_path, **self.TIGER | {"sample_rate": sample_rate}))
        assert caught.value.message == message
        with pytest.raises(WeightsError, match="not a window and a rate: 'wide', 16000"):
            _describe("mixin", self._config(tmp_path, **self.TIGER | {"win": "wide"}))

    @pytest.mark.parametrize("nested", [False, True])
    def test_spgm_in_our_words(self, tmp_path: Path, nested: bool) -> None:
        said = {"model_type": "spgm", "masknet_numspks": 3, "encoder_out_nchannels": 64}
        said |= {"spgm_block_pool": "att", "masknet_norm": "ln", "intra_norm_before": True}
        said |= {"masknet_chunksize": "other", "sample_rate": 8000, "unknown": 1}
        found = _describe("mixin", self._config(tmp_path, **({"config": said} if nested else said)))
        assert (found.architecture, found.speakers, found.sample_rate) == ("spgm", 3, 8000)
        assert found.config == {
            "num_speakers": 3,
            "channels": 64,
            "segment": "other",
            "pool": "attention",
            "norm": "global",
            "norm_first": True,
        }
        odd = said | {"masknet_numspks": "3", "sample_rate": None, "masknet_norm": ["ln"]}
        found = _describe("mixin", self._config(tmp_path, **odd))
        assert (found.speakers, found.sample_rate, found.config["norm"]) == (0, 0, ["ln"])

    def test_mossformer2_that_maps(self, tmp_path: Path) -> None:
        config = {"config_name": "mossformer2-whamr-2spk", "masknet_numspks": 2}
        found = _describe("mixin", self._config(tmp_path, sample_rate=8000, **config))
        assert (found.architecture, found.config["mapping"]) == ("mossformer2", True)
        config["config_name"] = "mossformer2-wsj0mix-3spk"
        assert not _describe("mixin", self._config(tmp_path, **config)).config["mapping"]
        found = _describe("mixin", self._config(tmp_path, model_type="mossformer2"))
        assert (found.architecture, found.config) == ("mossformer2", {"mapping": False})

    def test_mossformer2_has_the_keys_of_its_16_khz_form(self, tmp_path: Path) -> None:
        published = {
            "encoder.conv1d.weight": "enc.conv1d.weight",
            "decoder.weight": "dec.weight",
            "masknet.norm.bias": "mask_net.norm.bias",
            "masknet.dual_mdl.0.intra_norm.weight": "mask_net.mdl.intra_norm.weight",
            "masknet.dual_mdl.0.intra_mdl.mdl.norm.norm.bias": "mask_net.mdl.intra_mdl.norm.bias",
            "masknet.dual_mdl.0.intra_mdl.mdl.flashT.fsmn.0.conv1.1.weight": (
                "mask_net.mdl.intra_mdl.mossformerM.fsmn.0.conv1.1.weight"
            ),
        }
        file = _saved(tmp_path / "w.bin", {key: torch.zeros(1) for key in published})
        state = _read("mixin", file, architecture="mossformer2")
        assert list(state) == list(published.values())

    def test_unknown_configurations_say_nothing(self, tmp_path: Path) -> None:
        assert _describe("mixin", self._config(tmp_path, hidden_size=768)) is None
        assert _describe("mixin").config == {}

    def test_needs_one_file_of_weights(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="not one file of weights but 0"):
            _read("mixin", self._config(tmp_path))


class TestClearvoice:
    @pytest.mark.parametrize(
        "pointer", ["../secret.pt", "absent.pt", "", "last_best_checkpoint", "x" * 99]
    )
    def test_the_pointer_leads_to_the_models_own_files_only(
        self, tmp_path: Path, pointer: str
    ) -> None:
        (tmp_path / "last_best_checkpoint").write_text(pointer)
        file = _saved(tmp_path / "last_best_checkpoint.pt", {"model": {"a": torch.zeros(1)}})
        with pytest.raises(WeightsError) as caught:
            _read("clearvoice", tmp_path / "last_best_checkpoint", file)
        said = "last_best_checkpoint names a file that is not the model's: "
        assert caught.value.message == said + shown(pointer)
        assert caught.value.hint == "list that file under files in the model's entry"

    def test_says_the_architecture_only(self) -> None:
        found = _describe("clearvoice")
        assert (found.architecture, found.config) == ("mossformer2", {})

    def test_a_checkpoint_without_weights_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "last_best_checkpoint").write_text("w.pt")
        file = _saved(tmp_path / "w.pt", [1])
        with pytest.raises(WeightsError, match=r"no weights by name in w\.pt"):
            _read("clearvoice", tmp_path / "last_best_checkpoint", file)

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_drops_the_prefix_and_the_optimiser(self, tmp_path: Path, wrapped: bool) -> None:
        (tmp_path / "last_best_checkpoint").write_text("last_best_checkpoint.pt\n")
        weights: dict[str, Any] = {"module.a": torch.ones(1)}
        content = {"model": weights, "optimizer": {"step": 3}} if wrapped else weights
        file = _saved(tmp_path / "last_best_checkpoint.pt", content)
        assert list(_read("clearvoice", tmp_path / "last_best_checkpoint", file)) == ["a"]


class TestSrcorrnet:
    FOLDER = HUB_DATA / "shinuh--sr-corrnet-ss-1ch-wsj-var-2-5spk"

    def _changed(self, tmp_path: Path, old: str, new: str) -> Path:
        text = (self.FOLDER / "config.yaml").read_text(encoding="utf-8")
        assert old in text
        (tmp_path / "config.yaml").write_text(text.replace(old, new), encoding="utf-8")
        return tmp_path / "config.yaml"

    def test_reads_the_configuration(self) -> None:
        found = _describe("srcorrnet", self.FOLDER / "config.yaml")
        assert (found.architecture, found.speakers, found.sample_rate) == ("srcorrnet", 5, 8000)
        assert found.config == {
            "num_speakers": 5,
            "counts": True,
            "window": 128,
            "stride": 64,
            "taps_freq": [1, 1],
            "taps_frame": [1, 1],
            "dim": 16,
            "heads": 2,
            "hidden": 16,
            "cross_hidden": 24,
            "kernel_size": 3,
            "encoder_blocks": 1,
            "decoder_blocks": 1,
        }

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("num_mics: &mics 1", "num_mics: &mics 2", "num_mics = 2, not 1"),
            ("MIMO: &mimo false", "MIMO: true", "MIMO = True, not False"),
            ("kernel_sizes: [3, 3]", "kernel_sizes: [3, 5]", "kernel_sizes = [3, 5], not [3, 3]"),
            ("apply_pos_enc: true", "apply_pos_enc: false", "apply_pos_enc = False, not True"),
            ("spectral_module: {d_model: *d, ", "spectral_module: {", "spectral_module = {'d_hid"),
        ],
    )
    def test_refuses_a_variant_that_is_not_built(
        self, tmp_path: Path, old: str, new: str, said: str
    ) -> None:
        with pytest.raises(WeightsError) as caught:
            _describe("srcorrnet", self._changed(tmp_path, old, new))
        assert caught.value.message.startswith(
            f"config.yaml asks for a variant that is not built here: {said}"
        )

    def test_another_network_is_not_taken_for_it(self, tmp_path: Path) -> None:
        file = self._changed(tmp_path, "spectral_module:", "other_module:")
        assert _describe("srcorrnet", file) is None
        (tmp_path / "config.yaml").write_text("encoder_conf: {n_fft: 128}")
        assert _describe("srcorrnet", tmp_path / "config.yaml") is None
        (tmp_path / "config.yaml").write_text("config: 3")
        assert _describe("srcorrnet", tmp_path / "config.yaml") is None

    def test_what_is_no_number_is_no_number(self, tmp_path: Path) -> None:
        file = self._changed(tmp_path, "max_n_spks: &n_spks 5", "max_n_spks: &n_spks many")
        assert _describe("srcorrnet", file).speakers == 0
        file = self._changed(tmp_path, "sampling_rate: 8000", "sampling_rate: fast")
        assert _describe("srcorrnet", file).sample_rate == 0

    def test_keys_of_older_code_are_those_of_the_newest(self, tmp_path: Path) -> None:
        published = {
            "_orig_mod.input_layer.embed.0.weight": "encoder.embed.0.weight",
            "mask_estim_aux.0.mask.net.bias": "filter_estim_aux.0.mask.net.bias",
            "mask_estim.mask.net.bias": "filter_estim.mask.net.bias",
            "enc_block.0.frame_wise_block.block.ega.a": "enc_block.0.freq_block.block.sa.a",
            "enc_block.0._orig_mod.freq_wise_block.block.a": "enc_block.0.time_block.block.a",
            "spk_split.dec.net1.cs.layernorm.weight": "spk_split.dec.net1.ca.layernorm.weight",
            "layernorm.weight": "layernorm.weight",
        }
        weights = {key: torch.zeros(1) for key in published}
        file = _saved(tmp_path / "model.pt", {"model_state_dict": weights, "epoch": 3})
        assert list(_read("srcorrnet", file)) == list(published.values())
        with pytest.raises(WeightsError, match=r"no weights by name in model\.pt"):
            _read("srcorrnet", _saved(tmp_path / "model.pt", [1]))
