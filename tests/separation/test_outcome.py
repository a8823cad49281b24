from pathlib import Path

import pytest
import soundfile

from tests.doubles import conversation
from tests.separation.runs import run_counting


@pytest.mark.parametrize("people", [2, 3])
def test_fewer_people_than_were_asked_for_are_told(tmp_path: Path, people: int) -> None:
    outcome = run_counting(tmp_path, conversation("01", 1.0), people=people)  # too short to tell
    assert len(outcome.outputs) == people
    silent = [path.name for path in outcome.outputs if not soundfile.read(path)[0].any()]
    told = [note for note in outcome.notes if "fewer people" in note]
    if people == 2:
        assert (silent, told) == ([], [])
    else:
        assert silent == ["a_spk3.wav"]
        assert told == ["it sounds like fewer people than outputs: 2 of 3"]
