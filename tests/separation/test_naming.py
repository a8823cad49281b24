from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepcli.errors import UsageError
from sepcli.separation.naming import DEFAULT_NAME, Naming, check_template


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
