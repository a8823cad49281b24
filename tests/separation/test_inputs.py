from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepcli.errors import AudioError, OutputError
from sepcli.separation.inputs import plan_jobs
from sepcli.separation.jobs import Job
from sepcli.separation.naming import Naming


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(8), 8000)
    return path


def naming(folder: Path, **changes: object) -> Naming:
    return Naming(**{"folder": folder, "extension": "wav", **changes})  # type: ignore[arg-type]


def test_a_file_goes_to_one_output_per_speaker(tmp_path: Path) -> None:
    source = touch(tmp_path / "mix.wav")
    jobs, failures = plan_jobs([str(source)], naming(tmp_path / "out"), recursive=False)
    assert failures == []
    assert jobs == [
        Job(source, (tmp_path / "out/mix_spk1.wav", tmp_path / "out/mix_spk2.wav")),
    ]


def test_a_folder_keeps_its_sub_folders_only_when_recursive(tmp_path: Path) -> None:
    touch(tmp_path / "in/a.wav")
    touch(tmp_path / "in/deep/er/b.flac")
    out = naming(tmp_path / "out")
    flat, _ = plan_jobs([str(tmp_path / "in")], out, recursive=False)
    deep, _ = plan_jobs([str(tmp_path / "in")], out, recursive=True)
    assert [job.outputs[0] for job in flat] == [tmp_path / "out/a_spk1.wav"]
    assert [job.outputs[0] for job in deep] == [
        tmp_path / "out/a_spk1.wav",
        tmp_path / "out/deep/er/b_spk1.wav",
    ]


def test_outputs_of_an_earlier_run_are_not_inputs(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    touch(tmp_path / "separated/a_spk1.wav")
    jobs, _ = plan_jobs([str(tmp_path)], naming(tmp_path / "separated"), recursive=True)
    assert [job.source for job in jobs] == [tmp_path / "a.wav"]


def test_labels_are_told_apart_by_what_tells_outputs_apart(tmp_path: Path) -> None:
    inputs = [str(touch(tmp_path / name)) for name in ("b.wav", "b.flac")]
    apart = naming(tmp_path, template="{stem}_{ext}_spk{speaker}", labels=(".rttm",))
    jobs, failures = plan_jobs(inputs, apart, recursive=False)
    assert failures == []
    assert [job.labels for job in jobs] == [
        (tmp_path / "b_wav.rttm",),
        (tmp_path / "b_flac.rttm",),
    ]


def test_a_file_named_twice_is_done_once(tmp_path: Path) -> None:
    source = touch(tmp_path / "a.wav")
    jobs, _ = plan_jobs([str(source), str(tmp_path)], naming(tmp_path / "out"), recursive=False)
    assert len(jobs) == 1


def test_inputs_for_one_output_fail_and_the_others_do_not(tmp_path: Path) -> None:
    names = ("a.wav", "b/a.flac", "c/a.ogg", "d.wav")
    inputs = [str(touch(tmp_path / name)) for name in names]
    jobs, failures = plan_jobs(inputs, naming(tmp_path / "out"), recursive=False)
    assert [job.label for job in jobs] == inputs[3:]
    assert [failure.label for failure in failures] == inputs[:3]
    for failure in failures:
        assert isinstance(failure.error, OutputError)
        assert "same file" in failure.error.message
        assert "--name" in failure.error.hint
    apart = naming(tmp_path / "out", template="{stem}_{ext}_{speaker}")
    assert len(plan_jobs(inputs, apart, recursive=False)[0]) == 4


def test_one_output_by_two_linked_folders_is_one(tmp_path: Path) -> None:
    inputs = [str(touch(tmp_path / f"in/{n}/a.wav").parent.parent) for n in "xy"]
    (tmp_path / "out/x").mkdir(parents=True)
    (tmp_path / "out/y").symlink_to("x")
    _, failures = plan_jobs(inputs, naming(tmp_path / "out"), recursive=True)
    assert [failure.label[-7:] for failure in failures] == ["x/a.wav", "y/a.wav"]


def test_an_output_folder_that_is_a_link_to_itself_is_told_where_it_is_written(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "in/a.wav")
    (tmp_path / "loop").symlink_to("loop")
    jobs, _ = plan_jobs([str(tmp_path / "in")], naming(tmp_path / "loop"), recursive=False)
    assert len(jobs) == 1


def test_a_file_reached_by_two_ways_is_done_once(tmp_path: Path) -> None:
    touch(tmp_path / "in/a.wav")
    (tmp_path / "link").symlink_to("in")
    inputs = [str(tmp_path / name) for name in ("in/a.wav", "link/a.wav")]
    jobs, failures = plan_jobs(inputs, naming(tmp_path / "out"), recursive=False)
    assert ([job.label for job in jobs], failures) == (inputs[:1], [])


@pytest.mark.parametrize("way", ["name", "linked folder", "hard link", "link"])
def test_no_output_replaces_an_input_of_the_run(tmp_path: Path, way: str) -> None:
    a, other = (touch(tmp_path / "in" / name) for name in ("a.wav", "a_spk1.wav"))
    out = tmp_path / "in"
    if way != "name":
        out = tmp_path / "out"
        if way == "linked folder":
            out.symlink_to("in")
        else:
            out.mkdir()
            link = out / "a_spk1.wav"
            link.hardlink_to(other) if way == "hard link" else link.symlink_to(other)
    plan = [str(a), str(other)]
    jobs, failures = plan_jobs(plan, naming(out), recursive=False, overwrite=True)
    assert [job.source for job in jobs] == [other]
    assert failures[0].label == str(a)
    also = f", which is {other}" if way != "name" else ""
    assert failures[0].error.message == (
        f"output would replace an input: {out / 'a_spk1.wav'}{also}"
    )
    jobs, failures = plan_jobs(plan, naming(out), recursive=False)
    assert len(jobs) == 2  # they keep what is there


def test_no_output_replaces_what_else_is_read(tmp_path: Path) -> None:
    a, voice = touch(tmp_path / "a.wav"), touch(tmp_path / "a_spk2.wav")
    plan, out = [str(a)], naming(tmp_path)
    assert plan_jobs(plan, out, recursive=False, overwrite=True)[1] == []
    _, failures = plan_jobs(plan, out, recursive=False, overwrite=True, also_read=[voice])
    assert "replace an input" in failures[0].error.message


def test_no_output_replaces_the_file_behind_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with touch(tmp_path / "stdin_spk1.wav").open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        _, failures = plan_jobs(["-"], naming(tmp_path), recursive=False, overwrite=True)
    assert failures[0].error.message.endswith("stdin_spk1.wav, which is standard input")


def test_standard_input_has_a_name(tmp_path: Path) -> None:
    jobs, _ = plan_jobs(["-"], naming(tmp_path, num_speakers=3), recursive=False)
    assert [path.name for path in jobs[0].outputs] == [f"stdin_spk{n}.wav" for n in (1, 2, 3)]
    assert jobs[0].label == "standard input"


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    touch(tmp_path / "mix_01.wav")
    good = touch(tmp_path / "good.wav")
    jobs, failures = plan_jobs(
        [str(tmp_path / "mix_10.wav"), str(good)], naming(tmp_path / "out"), recursive=False
    )
    assert [job.source for job in jobs] == [good]
    assert isinstance(failures[0].error, AudioError)
    assert "mix_01.wav" in failures[0].error.hint


def test_an_unexpanded_pattern_is_recognised(tmp_path: Path) -> None:
    _, failures = plan_jobs([str(tmp_path / "*.wav")], naming(tmp_path), recursive=False)
    assert "pattern" in failures[0].error.hint


@pytest.mark.parametrize("recursive", [False, True])
def test_what_a_run_writes_beside_its_inputs_is_no_input(tmp_path: Path, recursive: bool) -> None:
    for name in ("a.wav", "a_spk1.wav", "a_spk2.wav", "a_spk1_spk1.wav", "b_spk3.wav"):
        touch(tmp_path / name)
    (tmp_path / "sub").mkdir()
    here = naming(tmp_path / "sub" / "..")
    told: list[str] = []
    jobs, _ = plan_jobs(
        [str(tmp_path)],
        here,
        recursive=recursive,
        on_skip=lambda path, reason: told.append(f"{path.name}: {reason}"),
    )
    assert [job.label for job in jobs] == [str(tmp_path / "a.wav"), str(tmp_path / "b_spk3.wav")]
    assert told == ["a_spk1.wav: an output of this run has its name and 2 more"]
    jobs, _ = plan_jobs([str(tmp_path), str(tmp_path / "a_spk1.wav")], here, recursive=recursive)
    assert str(tmp_path / "a_spk1.wav") in [job.label for job in jobs]


def test_what_an_earlier_run_wrote_elsewhere_in_the_folder_is_told(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "first/a_spk1.wav", "first/a_spk3.wav", "first/b-2.wav"):
        touch(tmp_path / name)
    told: list[tuple[str, str]] = []
    jobs, _ = plan_jobs(
        [str(tmp_path)],
        naming(tmp_path / "second", template="{stem}-{speaker}"),
        recursive=True,
        on_skip=lambda path, reason: told.append((path.name, reason)),
    )
    # without a letter in the template, b-2 may be any recording
    assert [job.label[len(str(tmp_path)) :] for job in jobs] == [
        "/a.wav",
        "/b.wav",
        "/first/b-2.wav",
    ]
    assert told == [("a_spk1.wav", "named like an output of an earlier run and 1 more")]


def test_utterances_that_an_earlier_run_cut_out_are_no_recordings(tmp_path: Path) -> None:
    names = ("a.wav", "b.wav", "cut/a/spk1_0001.wav", "cut/a/al_0002.wav", "cut/a/al_2.wav")
    for name in (*names, "cut/c/spk1_0001.wav"):  # there is no recording called c
        touch(tmp_path / name)
    told: list[tuple[str, str]] = []
    jobs, _ = plan_jobs(
        [str(tmp_path)],
        naming(tmp_path / "out", names=("al",)),
        recursive=True,
        on_skip=lambda path, reason: told.append((path.name, reason)),
    )
    assert [job.label[len(str(tmp_path)) :] for job in jobs] == [
        "/a.wav",
        "/b.wav",
        "/cut/a/al_2.wav",
        "/cut/c/spk1_0001.wav",
    ]
    assert told == [("al_0002.wav", "named like an output of an earlier run and 1 more")]


def test_voices_that_a_search_finds_are_left_out_unless_named(tmp_path: Path) -> None:
    for name in ("tree/a.wav", "tree/voices/al.wav", "tree/voices/bob.wav", "tree/voices/carl.wav"):
        touch(tmp_path / name)
    (tmp_path / "link").symlink_to("tree/voices")
    voices = [tmp_path / "link/al.wav", tmp_path / "tree/voices/bob.wav"]
    told: list[str] = []
    tree, out = str(tmp_path / "tree"), naming(tmp_path / "out")

    def found(*inputs: str) -> list[str]:
        jobs, _ = plan_jobs(
            inputs,
            out,
            recursive=True,
            also_read=voices,
            on_skip=lambda path, reason: told.append(f"{path.name}: {reason}"),
        )
        return [Path(job.label).name for job in jobs]

    assert found(tree) == ["a.wav", "carl.wav"]
    assert told == ["al.wav: a recording of --voice and 1 more"]
    assert found(tree, str(voices[1])) == ["a.wav", "bob.wav", "carl.wav"]
    assert found(str(voices[0])) == ["al.wav"]


def test_an_empty_name_is_not_this_folder(tmp_path: Path) -> None:
    jobs, failures = plan_jobs([""], naming(tmp_path), recursive=False)
    assert jobs == []
    assert [failure.error.message for failure in failures] == ["no such file or folder: ''"]


def test_outputs_called_after_people_replace_neither_each_other_nor_their_voices(
    tmp_path: Path,
) -> None:
    inputs = [str(touch(tmp_path / name)) for name in ("a.wav", "a_b.wav")]
    voice = touch(tmp_path / "out/a_alice.wav")
    for names, refused in ((("b_c", "c"), {"a.wav", "a_b.wav"}), (("alice",), {"a.wav"})):
        kept, failures = plan_jobs(
            inputs,
            naming(tmp_path / "out", names=names),
            recursive=False,
            overwrite=True,
            also_read=[voice],
        )
        assert {Path(failure.label).name for failure in failures} == refused
        assert len(kept) + len(failures) == 2


def test_a_name_that_the_system_refuses_stops_no_other_recording(tmp_path: Path) -> None:
    long, other = str(tmp_path / ("x" * 300)), touch(tmp_path / "a.wav")
    jobs, failures = plan_jobs([long, str(other)], naming(tmp_path / "out"), recursive=False)
    assert [job.source for job in jobs] == [other]
    told = [failure.error.message for failure in failures]
    assert told == [f"cannot be opened (file name too long): {long}"]
