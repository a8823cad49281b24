from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepcli.errors import UsageError
from sepcli.separation.naming import DEFAULT_NAME, Naming, check_speaker_names, check_template


@pytest.mark.parametrize(
    "template,says",
    [
        ("{stem}", "no {speaker}"),
        ("{stem}_{speaker}_{wrong}", "unknown field in the name template: wrong"),
        ("{stem", "malformed"),
        ("{speaker", "malformed"),
        ("{speaker}}", "malformed"),
        ("x/{speaker}", "folder"),
        ("x\\{speaker}", "folder"),
        ("{speaker:q}", "malformed"),
        ("{stem:d}{speaker}", "malformed"),
        ("{speaker!s:.0}x", "malformed"),
        ("{speaker!r}", "malformed"),
        ("{speaker:.0}", "malformed"),
        ("{stem:{foo}}{speaker}", "malformed"),
        ("{stem:{speaker}}", "malformed"),
        ("{stem.__class__}{speaker}", "unknown field"),
        ("{stem[0]}{speaker}", "unknown field"),
        ("{}{speaker}", "unknown field"),
        ("{0}{speaker}", "unknown field"),
    ],
)
def test_bad_templates_are_refused(template: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("{", r"\{")) as caught:
        check_template(template)
    assert caught.value.hint


@given(st.lists(st.sampled_from(["{stem}", "{ext}", "{model}", "{speaker}", "x", "é", "{{", "}}"])))
def test_what_is_accepted_names_a_file_for_every_speaker(parts: list[str]) -> None:
    template = "".join(parts)
    naming = Naming(folder=Path("out"), extension="wav", template=template, num_speakers=12)
    if "{speaker}" not in parts:
        with pytest.raises(UsageError):
            check_template(template)
        return
    check_template(template)
    outputs = naming.paths(Path("in/talk.flac"), Path("in"))
    assert len(set(outputs)) == 12
    assert {path.parent for path in outputs} == {Path("out/in")}


def test_outputs_of_any_speaker_are_recognised_by_their_names() -> None:
    naming = Naming(
        folder=Path("out"), extension="wav", template="{model} {stem} of {stem} {speaker}"
    )
    assert naming.stems_behind("spgm talk of talk 3") == {"talk"}
    assert naming.stems_behind("spgm talk of walk 3") == set()
    assert naming.stems_behind("talk_spk10") == {"talk"}
    assert naming.stems_behind("talk_spk") == set()
    assert Naming(folder=Path(), extension="wav", template="{speaker}").stems_behind("3") == set()
    assert Naming(folder=Path(), extension="wav").template == DEFAULT_NAME


@pytest.mark.parametrize(
    ("template", "label"),
    [
        (DEFAULT_NAME, "talk"),
        ("{stem}_{ext}_spk{speaker}", "talk_flac"),  # as the hint for inputs of one name has it
        ("{speaker}-{stem}-{model}", "talk-spgm"),
        ("{stem} spk{speaker} ({model})", "talk (spgm)"),
        ("spk{speaker}", "talk"),
        ("{{{speaker}}} {stem}", "talk"),
        ("a {stem} {speaker}", "a talk"),
    ],
)
def test_labels_are_named_as_outputs_without_the_speaker(template: str, label: str) -> None:
    naming = Naming(
        folder=Path("out"), extension="wav", template=template, model="spgm", labels=(".rttm",)
    )
    paths = naming.label_paths(Path("in/talk.flac"), Path("in"))
    assert paths == (Path(f"out/in/{label}.rttm"),)


@pytest.mark.parametrize(
    ("template", "output"),
    [
        (DEFAULT_NAME, "talk_alice"),
        ("{stem}_{ext}_spk{speaker}", "talk_flac_alice"),
        ("{speaker}-{stem}", "alice-talk"),
        ("voice{speaker} of {stem}", "alice of talk"),
        ("{stem} no. {speaker}", "talk no. alice"),
    ],
)
def test_files_are_called_after_people(template: str, output: str) -> None:
    naming = Naming(folder=Path("out"), extension="wav", template=template, names=("alice", "b.c"))
    named = dict(naming.named_paths(Path("in/talk.flac"), Path("in")))
    assert named["alice"] == Path(f"out/in/{output}.wav")
    assert len({*named.values(), *naming.paths(Path("in/talk.flac"), Path("in"))}) == 4
    assert "talk" in naming.stems_behind(output)
    assert "talk" in naming.stems_behind(output.replace("alice", "b.c"))
    assert "talk" not in naming.stems_behind(output.replace("alice", "bxc"))


def test_the_file_of_one_person_alone() -> None:
    naming = Naming(folder=Path("out"), extension="wav", names=("alice", "bob"), only="bob")
    assert naming.certain_and_optional(Path("a.wav"), Path()) == ((), ())
    assert naming.named_paths(Path("a.wav"), Path()) == (("bob", Path("out/a_bob.wav")),)


def test_one_file_for_all_is_nobodys_but_that_of_who_alone_is_wanted() -> None:
    def naming(only: str | None) -> Naming:
        names = ("alice", "bob")
        return Naming(folder=Path(), extension="wav", template="{stem}", names=names, only=only)

    assert naming(None).named_paths(Path("a.wav"), Path()) == ()
    assert naming("bob").named_paths(Path("a.wav"), Path()) == (("bob", Path("a.wav")),)


@pytest.mark.parametrize(
    ("template", "name", "is_refused"),
    [
        (DEFAULT_NAME, "spk1", True),
        (DEFAULT_NAME, "SPK12", True),  # some disks see no difference
        (DEFAULT_NAME, "1", True),
        (DEFAULT_NAME, "spk", False),
        (DEFAULT_NAME, "voice1", False),
        ("{stem}_voice{speaker}", "voice1", True),
        ("{stem}_{speaker}", "spk1", False),
        ("{stem}_{speaker}", "7", True),
    ],
)
def test_nobody_is_called_as_unknown_speakers_are(
    template: str, name: str, is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(UsageError, match=f"unknown speaker's file: {name}"):
            check_speaker_names(template, ["alice", name])
    else:
        check_speaker_names(template, ["alice", name])
