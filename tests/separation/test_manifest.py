import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sepcli.errors import UsageError
from sepcli.separation.manifest import plan_rows, read_manifest, speaker_rows
from sepcli.separation.naming import Naming

HERE = Path("sets/in.jsonl")
OURS = {"seconds": 2.5, "sample_rate": 8000, "margins": [float("inf"), 1.23456]}


def text(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def naming(folder: Path) -> Naming:
    return Naming(folder=folder, extension="wav")


def test_rows_say_which_part_of_which_recording() -> None:
    rows, failures = read_manifest(
        text(
            {"audio_filepath": "a.wav"},
            {"audio_filepath": "b/../c.wav", "offset": 1.5, "duration": 2},
            {"audio_filepath": "/d.wav", "offset": None, "duration": 3.0},
            {"audio_filepath": "/d.wav", "offset": 3},
        )
        + "\r\n",
        HERE,
    )
    assert failures == []
    assert [(row.source, row.span) for row in rows] == [
        (Path("sets/a.wav"), (None, None)),
        (Path("sets/c.wav"), (1.5, 3.5)),
        (Path("/d.wav"), (None, 3.0)),
        (Path("/d.wav"), (3.0, None)),
    ]


@pytest.mark.parametrize(
    "line,message",
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ('{"path": "a.wav"}', "no audio_filepath"),
        ('{"audio_filepath": 3}', "no audio_filepath"),
        ('{"audio_filepath": "a.wav", "offset": -1}', "offset is not a time: -1"),
        ('{"audio_filepath": "a.wav", "offset": NaN}', "offset is not a time: NaN"),
        ('{"audio_filepath": "a.wav", "duration": true}', "duration is not a time: true"),
        ('{"audio_filepath": "a.wav", "duration": "3"}', 'duration is not a time: "3"'),
        ('{"audio_filepath": "a.wav", "duration": 0}', "duration is not above 0"),
        (
            f'{{"audio_filepath": "a.wav", "offset": 1{"0" * 400}}}',
            "offset is not a time: 1" + "0" * 400,
        ),
        ('{"audio_filepath": "a.wav", "offset": 1e308}', "offset is not a time: 1e+308"),
        ('{"audio_filepath": "a\\ud800.wav"}', r"no name of a file: 'a\ud800.wav'"),
        ('{"audio_filepath": "a\\u0000/b.wav"}', r"no name of a file: 'a\x00/b.wav'"),
        ('{"audio_filepath": "./first.wav"}', "the same part of a recording as line 1"),
    ],
)
def test_a_wrong_line_is_told_by_its_number_and_the_others_are_read(
    line: str, message: str
) -> None:
    rows, (failure,) = read_manifest(
        text({"audio_filepath": "first.wav"}) + line + "\n" + text({"audio_filepath": "last.wav"}),
        HERE,
    )
    assert [row.source.name for row in rows] == ["first.wav", "last.wav"]
    assert isinstance(failure.error, UsageError)
    assert failure.error.message == f"line 2 of {HERE}: {message}"
    assert failure.error.hint
    assert "\n" not in failure.error.hint


def test_a_line_without_the_key_tells_which_it_has() -> None:
    _, (failure,) = read_manifest('{"path": "a.wav", "text": ""}', HERE)
    assert "path, text" in failure.error.hint


def test_outputs_keep_folders_and_parts_have_their_times(tmp_path: Path) -> None:
    rows, _ = read_manifest(
        text(
            {"audio_filepath": "x/a.wav"},
            {"audio_filepath": "x/y/a.wav", "offset": 1, "duration": 0.25},
            {"audio_filepath": "x/y/a.wav", "offset": 2},
        ),
        HERE,
    )
    jobs, failures = plan_rows(rows, naming(tmp_path))
    assert failures == []
    assert [str(job.outputs[0].relative_to(tmp_path)) for job in jobs] == [
        "a_spk1.wav",
        "y/a_1.000-1.250_spk1.wav",
        "y/a_2.000_spk1.wav",
    ]
    assert [job.span for job in jobs] == [(None, None), (1.0, 1.25), (2.0, None)]


def test_rows_for_one_output_fail_and_no_input_is_replaced(tmp_path: Path) -> None:
    for name in ("b.wav", "a_spk2.wav", "in.jsonl"):
        (tmp_path / name).touch()
    names = ("c.wav", "c.flac", "a.wav", "b.wav")
    rows, _ = read_manifest(text(*({"audio_filepath": n} for n in names)), tmp_path / "in.jsonl")
    also = [tmp_path / "a_spk2.wav"]
    jobs, failures = plan_rows(rows, naming(tmp_path), overwrite=True, also_read=also)
    assert [job.source for job in jobs] == [tmp_path / "b.wav"]
    assert [failure.label for failure in failures] == [str(tmp_path / n) for n in names[:3]]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            ({"offset": 1.0001, "duration": 2}, {"offset": 1.0004, "duration": 2}),
            "{a} from 1.0001 s to 3.0001 s and {a} from 1.0004 s to 3.0004 s",
        ),
        (({"duration": 2}, {"duration": 3.5}), "{a} to 2 s and {a} to 3.5 s"),
        (({}, {"duration": 3.5}), "{a} and {a} to 3.5 s"),
        (({"offset": 1}, {"offset": 1.0001}), "{a} from 1 s and {a} from 1.0001 s"),
    ],
)
def test_rows_whose_parts_share_a_name_are_told_by_their_times(
    tmp_path: Path, parts: tuple[dict[str, object], ...], told: str
) -> None:
    rows, _ = read_manifest(text(*({"audio_filepath": "a.wav"} | part for part in parts)), HERE)
    jobs, failures = plan_rows(rows, naming(tmp_path))
    assert jobs == []
    expected = f"two inputs would write the same file: {told.format(a='sets/a.wav')}"
    assert [failure.error.message for failure in failures] == [expected, expected]
    assert all("give each an offset" in failure.error.hint for failure in failures)


def test_each_speaker_has_a_row_that_carries_what_the_recording_s_said() -> None:
    fields = {"text": "hello", "audio_filepath": "a.wav", "offset": 1.0, "duration": 2.5}
    fields["channel"] = 1  # of the recording; the outputs have one
    first, second = speaker_rows(
        fields,
        [("spk1", (Path("/o/a_spk1.wav"), None)), ("spk2", (Path("/o/a_spk2.wav"), None))],
        **OURS,
    )
    assert first == {
        "audio_filepath": "/o/a_spk1.wav",
        "duration": 2.5,
        "speaker": "spk1",
        "sample_rate": 8000,
        "margins": [1.235],
        "source_audio_filepath": "a.wav",
        "source_offset": 1.0,
        "source_duration": 2.5,
        "source_channel": 1,
        "text": "hello",
    }
    assert second == first | {"audio_filepath": "/o/a_spk2.wav", "speaker": "spk2"}


def test_margins_that_are_not_known_any_more_are_null() -> None:
    (row,) = speaker_rows({}, [("spk1", (Path("a.wav"), None))], **(OURS | {"margins": None}))
    assert row["margins"] is None


KEYS = st.sampled_from(["speaker", "duration", "offset", "text"]).flatmap(
    lambda key: st.sampled_from([key, f"source_{key}", f"source_source_{key}"])
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a machine that does much else
@given(st.dictionaries(KEYS, st.integers()))
def test_no_key_of_a_row_is_lost(fields: dict[str, int]) -> None:
    (bare,) = speaker_rows({}, [("spk1", (Path("a.wav"), None))], **OURS)
    (row,) = speaker_rows(fields, [("spk1", (Path("a.wav"), None))], **OURS)
    assert {key: row[key] for key in bare} == bare
    carried = {key: value for key, value in row.items() if key not in bare}
    assert sorted(carried.values()) == sorted(fields.values())
    assert all(key.endswith(tuple(fields)) for key in carried)
    assert "offset" not in row
    if "speaker" in fields:  # what this run replaces is nearer than what one before did
        assert row["source_speaker"] == fields["speaker"]


def test_rows_of_one_run_are_a_manifest_for_the_next() -> None:
    rows = speaker_rows(
        {"audio_filepath": "a.wav"}, [("spk1", (Path("/o/a_spk1.wav"), None))], **OURS
    )
    (row,), failures = read_manifest(text(*rows), Path("out.jsonl"))
    assert (row.source, row.span, failures) == (Path("/o/a_spk1.wav"), (None, 2.5), [])
    (again,) = speaker_rows(row.fields, [("spk1", (Path("/o/b.wav"), None))], **OURS)
    assert again["source_audio_filepath"] == "/o/a_spk1.wav"
    assert again["source_source_audio_filepath"] == "a.wav"
