import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcli.errors import AudioError, DeviceError, ModelError, UsageError
from sepcli.evaluation.metrics import si_sdr
from sepcli.separation.separator import SeparationOptions, Separator
from tests.doubles import (
    BAND_HZ,
    RATE,
    BandSplit,
    Broken,
    Identity,
    conversation,
    entry,
    hear_bands,
    two_voices,
)
from tests.separation.options import AS_SEPARATED


def separator(network: torch.nn.Module, **changes: object) -> Separator:
    options = AS_SEPARATED | changes
    return Separator(network, entry(level="as-is"), SeparationOptions(**options))  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(
    num_samples=st.integers(1, 30_000),
    chunk=st.floats(0.1, 2.0),
    share=st.floats(0.0, 0.9),
    shares=st.sampled_from([(0.75, 0.25), (0.5, 0.25, 0.25), (0.5, 0.25, 0.125, 0.125)]),
)
def test_an_identity_is_reproduced(
    num_samples: int, chunk: float, share: float, shares: tuple[float, ...]
) -> None:
    white = np.random.default_rng(num_samples).uniform(-0.45, 0.45, num_samples + 1)
    mixture = np.diff(white).astype(np.float32)  # short white noise may hold rumble
    options = SeparationOptions(
        chunk_seconds=chunk,
        overlap_seconds=share * chunk,
        batch_size=3,
        level="as-is",
        outside_overlap="separated",
        bandwidth="model",
    )
    made = Separator(Identity(shares), entry(len(shares)), options).separate(mixture, RATE)
    assert made.estimates.shape == (len(shares), num_samples)
    assert made.sample_rate == RATE
    # sums of float32 shares: one rounding a speaker
    np.testing.assert_allclose(made.estimates.sum(axis=0), mixture, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_length_and_alignment_survive_any_rate(rate: int) -> None:
    mixture = two_voices(3.3, rate=rate).sum(axis=0)
    made = separator(Identity()).separate(mixture, rate)
    assert made.estimates.shape == (2, len(mixture))
    # the mixture holds nothing beyond 3.2 kHz, so both resamplings keep it
    assert si_sdr(made.estimates[0][1000:-1000], mixture[1000:-1000]) > 40


def test_speakers_keep_their_place_and_their_level() -> None:
    references = two_voices(12.0)
    network = BandSplit()
    made = Separator(network, entry()).separate(references.sum(axis=0), RATE)
    assert network.num_calls > 12
    estimates = made.estimates
    if si_sdr(estimates[0], references[0]) < 0:
        estimates = estimates[::-1]
    for estimate, reference in zip(estimates, references, strict=True):
        assert si_sdr(estimate, reference) > 20
        level = np.sum(estimate * reference) / np.sum(reference**2)
        assert level == pytest.approx(1, abs=0.02)


def test_channels_are_mixed_down_and_torch_is_welcome() -> None:
    mixture = two_voices(2.0)
    made = separator(Identity()).separate(torch.from_numpy(mixture).requires_grad_(), RATE)
    np.testing.assert_allclose(made.estimates.sum(axis=0), mixture.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 100.0, 1e6])
def test_any_scale_comes_back(scale: float) -> None:
    mixture = two_voices(2.0).sum(axis=0)
    usual = separator(Identity()).separate(mixture, RATE).estimates
    scaled = separator(Identity()).separate(mixture * np.float32(scale), RATE).estimates
    np.testing.assert_allclose(scaled / scale, usual, atol=2e-6)


def test_leakage_is_removed_on_request() -> None:
    speech = two_voices(6.0)[0]
    leaky = Identity((0.9, 0.1))
    kept = separator(leaky).separate(speech, RATE).estimates
    cleaned = separator(leaky, leakage="remove").separate(speech, RATE).estimates
    np.testing.assert_allclose(cleaned.sum(axis=0), kept.sum(axis=0), atol=1e-5)
    assert np.square(cleaned[1]).sum() < 0.1 * np.square(kept[1]).sum()


def test_silence_stays_silent() -> None:
    made = Separator(BandSplit(), entry()).separate(np.zeros(20_000, np.float32), RATE)
    assert made.estimates.shape == (2, 20_000)
    assert not made.estimates.any()


def test_what_is_not_finite_is_told_and_replaced() -> None:
    mixture = two_voices(2.0).sum(axis=0)
    mixture[5] = np.nan
    made = separator(Identity()).separate(mixture, RATE)
    assert np.isfinite(made.estimates).all()
    assert made.warnings


@pytest.mark.parametrize("shape", [(0,), (2, 0), (1, 2, 3), (), (9, 2)])
def test_what_is_no_waveform_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError):
        separator(Identity()).separate(np.zeros(shape, np.float32), RATE)


def test_a_network_that_fails_is_told() -> None:
    with pytest.raises(DeviceError, match="not finite"):
        separator(Broken()).separate(two_voices(2.0).sum(axis=0), RATE)


def test_an_overlap_as_long_as_the_chunk_is_refused() -> None:
    with pytest.raises(UsageError, match="overlap"):
        separator(Identity(), chunk_seconds=1.0, overlap_seconds=1.0)


@pytest.mark.parametrize(
    ("chunk", "overlap", "message"),
    [
        (float("inf"), None, "not a length of a chunk: inf s"),
        (float("nan"), None, "not a length of a chunk: nan s"),
        (1e308, None, r"not a length of a chunk: 1e\+308 s"),
        (1.0, 1e308, "overlap is not shorter than the chunk"),
        (1.0, 0.99999, "overlap is not shorter than the chunk"),  # by less than a sample
    ],
)
def test_chunks_that_cannot_be_are_refused(
    chunk: float, overlap: float | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        separator(Identity(), chunk_seconds=chunk, overlap_seconds=overlap)


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(AudioError, match="not a sample rate: 0 Hz"):
        separator(Identity()).separate(np.zeros(9, np.float32), 0)


@pytest.mark.parametrize("rate", [8000.5, float("nan"), "8000", None])
def test_a_rate_that_is_no_number_is_refused(rate: Any) -> None:
    with pytest.raises(AudioError, match="not a sample rate"):
        separator(Identity()).separate(np.zeros(9, np.float32), rate)


@pytest.mark.parametrize("rate", [8000.0, np.float32(8000), np.int64(8000)])
def test_a_whole_rate_may_be_of_any_kind(rate: Any) -> None:
    mixture = two_voices(1.0, rate=8000).sum(0)
    one, other = (separator(Identity()).separate(mixture, each) for each in (8000, rate))
    np.testing.assert_array_equal(one.estimates, other.estimates)
    assert other.sample_rate == 8000


@pytest.mark.parametrize(
    "options",
    [
        {"level": "ful"},
        {"leakage": "removed"},
        {"outside_overlap": "seperated"},
        {"bandwidth": "Model"},
        {"precision": "float32"},
        {"people": 0},
        {"people": 9},
        {"people": -1},
        {"people": "2"},
        {"people": True},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"shifts": 0},
        {"shifts": 21},
        {"shifts": True},
        {"shifts": 1.5},
        {"chunk_seconds": 0.0},
        {"chunk_seconds": -1.0},
        {"overlap_seconds": -1.0},
        {"overlap_seconds": float("nan")},
        {"people": np.int64(9)},
        {"people": 2.0},
        {"batch_size": "2"},
        {"batch_size": np.True_},
        {"chunk_seconds": "4"},
        {"chunk_seconds": True},
        {"overlap_seconds": "1"},
        {"overlap_seconds": 1j},
        {"only": 3},
        {"people": np.array([1, 2])},
        {"level": np.array(["fit", "as-is"])},
        {"voices": ["builtin"]},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        SeparationOptions(**options)
    (value,) = options.values()
    assert any(told in caught.value.message for told in (str(value), repr(value)))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "kind"), [({}, "dict"), ({"shifts": 2}, "dict"), ("cpu", "str"), (2, "int")]
)
def test_what_are_no_options_is_refused(options: Any, kind: str) -> None:
    for make in (
        lambda: Separator(Identity(), entry(), options),
        lambda: Separator.from_pretrained("stftformer-8k", options=options),
    ):
        with pytest.raises(UsageError) as caught:
            make()
        assert caught.value.message == f"not options: {kind}"
        assert caught.value.hint == 'as in options=SeparationOptions(device="cpu")'


@pytest.mark.parametrize("waveform", ["mix.wav", [[0.0] * 9, [0.0] * 8], {"a": 1}, [None, "x"]])
def test_what_is_no_array_of_numbers_is_refused(waveform: Any) -> None:
    with pytest.raises(AudioError, match="not a waveform"):
        separator(Identity()).separate(waveform, RATE)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"a": np.zeros(9)}, "voice of a is no path of a recording: ndarray"),
        ({"a": None}, "voice of a is no path of a recording: NoneType"),
        ({"a": ""}, "voice of a is no path of a recording: ''"),
        ({"a": b"a.wav"}, "voice of a is no path of a recording: bytes"),
        ({3: "a.wav"}, "not the name of a voice: 3"),
        (["a.wav"], "not recordings of people by name: list"),
        (None, "not recordings of people by name: NoneType"),
    ],
)
def test_known_voices_that_are_no_paths_are_refused(known: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        SeparationOptions(known=known)
    assert caught.value.message == says


def test_options_may_be_numbers_of_any_kind() -> None:
    plain = SeparationOptions(people=3, batch_size=2, chunk_seconds=4, overlap_seconds=0.5)
    of_numpy = SeparationOptions(
        people=np.int64(3),  # type: ignore[arg-type]
        batch_size=np.uint8(2),  # type: ignore[arg-type]
        chunk_seconds=np.float32(4),  # type: ignore[arg-type]
        overlap_seconds=np.float64(0.5),
    )
    assert repr(of_numpy) == repr(plain)  # it is part of the key of a spool


MASKED = np.ma.masked_greater(np.linspace(-0.5, 0.5, 99), 0.4)


@pytest.mark.parametrize(
    ("waveform", "says"),
    [
        (b"\1\2" * 9, "bytes"),
        (bytearray(9), "bytearray"),
        (memoryview(b"\1\2" * 9), "memoryview"),
        (np.full(9, 1j), "ndarray of complex128"),
        ([1j, 2j], "list"),
        (torch.full((9,), 1j), "ndarray of complex64"),
        (torch.full((9,), 1j).conj(), "ndarray of complex64"),
        (np.arange(9).astype("M8[s]"), "ndarray of datetime64[s]"),
        (np.arange(9).astype("m8[s]"), "ndarray of timedelta64[s]"),
        (["0.1", "0.2"], "list"),
        ([0.1, "0.2"], "list"),
        (np.array(["0.1", "0.2"]), "ndarray of <U3"),
        (np.array(["0.1", 0.2, None], object), "ndarray of object"),
        (np.array([np.complex64(1j), 0.2], object), "ndarray of complex128"),
        ({0: 0.1, 1: 0.2}, "dict"),
        ([10**400], "list"),
        (MASKED, "MaskedArray with masked values"),
    ],
)
def test_what_holds_no_real_numbers_is_refused(waveform: Any, says: str) -> None:
    with pytest.raises(AudioError) as caught:
        separator(Identity()).separate(waveform, RATE)
    assert caught.value.message == f"not a waveform: {says}"
    assert caught.value.hint


@pytest.mark.parametrize(
    "kind", ["list", "object", "decimal", "float16", "int16", "longdouble", ">f4", "buffer", "mask"]
)
def test_numbers_may_be_of_any_kind(kind: str) -> None:
    steps = np.arange(-90, 90)  # exact in every kind
    waveform: Any = {
        "list": steps.tolist(),
        "object": steps.astype(object),
        "decimal": np.array([Decimal(each) for each in steps.tolist()]),
        "buffer": steps.data,
        "mask": np.ma.masked_greater(steps, 90),
    }.get(kind)
    waveform = steps.astype(kind) if waveform is None else waveform
    made = separator(Identity()).separate(waveform, RATE)
    expected = separator(Identity()).separate(steps.astype(np.float32), RATE)
    np.testing.assert_array_equal(made.estimates, expected.estimates)


def test_channels_may_be_a_column_of_arrays() -> None:
    stereo = two_voices(1.0)
    column = np.empty(2, object)
    column[:] = list(stereo)
    one, other = (separator(Identity()).separate(each, RATE) for each in (stereo, column))
    np.testing.assert_array_equal(one.estimates, other.estimates)


def test_values_that_cannot_be_computed_with_are_counted() -> None:
    mixture = two_voices(1.0).sum(0)
    mixture[10:13] = 1e30
    mixture[20] = np.nan
    made = separator(Identity()).separate(mixture, RATE)
    assert np.isfinite(made.estimates).all()
    assert made.warnings == (
        "1 values were not finite and became 0",
        "3 values were beyond ±2^31 and limited",
    )


def test_a_voice_has_no_name_of_an_unknown_speaker(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", conversation("0", 5.0), RATE)
    with pytest.raises(UsageError, match="name is that of an unknown speaker's file: spk2"):
        separator(Identity(), known={"spk2": tmp_path / "a.wav"})


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", two_voices(2.0).sum(0), RATE)
    whole = (tmp_path / "mix.wav").read_bytes()
    (tmp_path / "mix.wav").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    options = SeparationOptions(**AS_SEPARATED)  # type: ignore[arg-type]
    made = Separator(Identity(), entry(level="as-is"), options, said.append)
    made.separate_file(tmp_path / "mix.wav", tmp_path / "out")
    assert any("samples could not be read" in line for line in said)


def test_a_program_may_have_another_kind_of_number_as_its_default() -> None:
    mixture = two_voices(1.0).sum(0)
    expected = Separator.from_pretrained("stftformer-8k").separate(mixture, RATE).estimates
    torch.set_default_dtype(torch.float64)
    try:
        made = Separator.from_pretrained("stftformer-8k").separate(mixture, RATE).estimates
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("model", ["", Path("nowhere")])
def test_a_model_that_is_not_there_is_told(model: Any) -> None:
    with pytest.raises(ModelError):
        Separator.from_pretrained(model)


def test_a_file_becomes_one_file_per_speaker(tmp_path: Path) -> None:
    references = two_voices(3.0, rate=16000)
    soundfile.write(tmp_path / "mix.wav", references.T, 16000)
    outputs = separator(Identity()).separate_file(tmp_path / "mix.wav", tmp_path / "out")
    assert [path.name for path in outputs] == ["mix_spk1.wav", "mix_spk2.wav"]
    for path in outputs:
        waveform, rate = soundfile.read(path)
        assert (len(waveform), rate) == (references.shape[1], 16000)


def test_a_file_that_would_pass_for_one_more_speakers_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", two_voices(1.0).T, RATE)
    (tmp_path / "mix_spk3.wav").touch()
    said: list[str] = []
    made = Separator(Identity(), entry(), SeparationOptions(device="cpu"), said.append)
    made.separate_file(tmp_path / "mix.wav", tmp_path)
    told = f"another speaker's file lies there, not of this run: {tmp_path / 'mix_spk3.wav'}"
    assert told in said


def test_the_digest_tells_weights_apart_whatever_becomes_of_them() -> None:
    class Scaled(Identity):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor([[factor]], dtype=torch.bfloat16))

    one, same, other = (
        separator(Scaled(factor)).pipeline.weights_digest for factor in (1.0, 1.0, 2.0)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("only", "called"), [(None, ("alice", "spk2")), ("alice", ("alice",)), ("carol", ())]
)
def test_people_whose_voices_are_known_are_called_by_name(
    tmp_path: Path, only: str | None, called: tuple[str, ...]
) -> None:
    for name, person in (("alice", "0"), ("carol", "2")):
        soundfile.write(tmp_path / f"{name}.wav", conversation(person, 3.0), RATE)
    options = SeparationOptions(
        people=2, known={name: tmp_path / f"{name}.wav" for name in ("alice", "carol")}, only=only
    )
    knowing = Separator(Identity((0.5, 0.5)), entry(level="as-is"), options, embed=hear_bands)
    talk = conversation("0101", 2.0)
    made = knowing.separate(talk, RATE)
    assert made.names == called
    assert made.estimates.shape == (len(called), len(talk))
    assert [turn.speaker for turn in made.turns if turn.start_seconds > 3.5] == [
        place for place in (0, 1) if place < len(called)
    ]
    assert all(likeness is not None for likeness in made.likeness)
    soundfile.write(tmp_path / "talk.wav", talk, RATE)
    outputs = knowing.separate_file(tmp_path / "talk.wav", tmp_path / "out")
    assert [path.name for path in outputs] == [f"talk_{name}.wav" for name in called]


def test_who_alone_is_wanted_must_be_known() -> None:
    with pytest.raises(UsageError, match="no voice is given for --only alice"):
        SeparationOptions(only="alice")


@pytest.mark.parametrize(
    ("people", "seconds", "is_heard"),
    [(None, 14.9, False), (None, 15.0, True), (2, 4.4, False), ("auto", 4.5, True)],
)
def test_voices_are_heard_only_where_they_can_change_something(
    people: object, seconds: float, is_heard: bool
) -> None:
    heard: list[int] = []

    def embed(samples: np.ndarray, sample_rate: int) -> np.ndarray:
        heard.append(len(samples))
        return hear_bands(samples, sample_rate)

    options = SeparationOptions(chunk_seconds=20.0, people=people)  # type: ignore[arg-type]
    made = Separator(BandSplit(), entry(level="as-is"), options, embed=embed)
    separation = made.separate(two_voices(seconds).sum(axis=0), RATE)
    assert bool(heard) == is_heard
    assert {turn.speaker for turn in separation.turns} == {0, 1}


class CountingBands(torch.nn.Module):
    """Finds who speaks in a `conversation`, in an order that changes; further outputs are silent.

    Every third time it takes faint noise for one speaker more.
    """

    def __init__(self, num_speakers: int = 5) -> None:
        super().__init__()
        self.num_speakers, self.num_calls = num_speakers, 0

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        random = np.random.default_rng(self.num_calls)
        self.num_calls += 1
        spectrum = torch.fft.rfft(mixture)
        band = torch.fft.rfftfreq(mixture.shape[-1], 1 / RATE) // BAND_HZ - 1
        estimates = torch.zeros(len(mixture), self.num_speakers, mixture.shape[-1])
        for row, heard in enumerate(spectrum):
            found = [heard * (band == person) for person in range(self.num_speakers)]
            loud = [each for each in found if each.abs().square().sum() > 0.01 * heard.norm() ** 2]
            for place, each in enumerate(random.permutation(len(loud))):
                estimates[row, place] = torch.fft.irfft(loud[each], mixture.shape[-1])
            if self.num_calls % 3 == 0 and len(loud) < self.num_speakers:
                noise = torch.from_numpy(random.standard_normal(mixture.shape[-1]))
                estimates[row, len(loud)] = 0.01 * mixture.std() * noise
        return estimates


@pytest.mark.parametrize("num_people", [1, 2, 3])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_network_that_counts_is_believed(num_people: int, at_once: bool) -> None:
    people = "012"[:num_people]
    talks = [conversation(person, 4.0) for person in people]
    mixture = sum(talks) if at_once else conversation(people * 2, 2.0)
    counting = entry(5, level="as-is", config={"counts": True})
    options = SeparationOptions(people="auto")
    made = Separator(CountingBands(), counting, options, embed=hear_bands).separate(mixture, RATE)
    assert made.names == ("spk1", "spk2", "spk3")[:num_people]
    assert {turn.speaker for turn in made.turns} == set(range(num_people))
    if at_once:  # bands of a chunk leak into each other at its ends
        for talk in talks:
            assert max(si_sdr(each, talk) for each in made.estimates) > 20


def test_a_network_that_counts_is_told_how_many() -> None:
    counting = entry(5, level="as-is", config={"counts": True})
    talk = conversation("012", 2.0)
    for people, num_files in ((2, 2), (None, 5)):
        options = SeparationOptions(people=people)
        made = Separator(CountingBands(), counting, options, embed=hear_bands).separate(talk, RATE)
        assert len(made.names) == num_files


@pytest.mark.parametrize("level", [1e-5, 2.0**15])
def test_who_speaks_when_does_not_depend_on_how_loud_it_is(level: float) -> None:
    room = 1e-3 * np.random.default_rng(0).standard_normal(8 * RATE).astype(np.float32)
    talk, pause = conversation("02", 2.0), np.zeros(RATE, np.float32)
    talk = room[: 7 * RATE] + np.concatenate([talk, pause, talk[: 2 * RATE]])
    options = SeparationOptions(people=2)
    hearing = Separator(Identity((0.5, 0.5)), entry(level="as-is"), options, embed=hear_bands)
    turns = hearing.separate(talk, RATE).turns
    assert [turn.speaker for turn in turns] == [0, 1, 0]
    assert hearing.separate(np.float32(level) * talk, RATE).turns == turns


def test_it_is_not_sent_to_another_process_and_says_what_to_do() -> None:
    made = separator(Identity((0.5, 0.5)))
    for sent in (made, made.separate_file):  # a pool sends the method's object along
        with pytest.raises(DeviceError, match="cannot be sent to another process") as caught:
            pickle.dumps(sent)
        assert "from_pretrained" in caught.value.hint
