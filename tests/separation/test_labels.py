import pytest

from sepcli.separation.labels import WRITERS, Labels
from sepcli.separation.speakers.turns import Turn

TALK = Labels(
    "a talk", 4.0, ("spk1", 'Ann "A"'), (Turn(0.25, 1.5, 0), Turn(1.25, 3.0, 1), Turn(3.5, 4.0, 0))
)

EXPECTED = {
    "rttm": """\
SPEAKER a_talk 1 0.250 1.250 <NA> <NA> spk1 <NA> <NA>
SPEAKER a_talk 1 1.250 1.750 <NA> <NA> Ann_"A" <NA> <NA>
SPEAKER a_talk 1 3.500 0.500 <NA> <NA> spk1 <NA> <NA>
""",
    "audacity": """\
0.250000\t1.500000\tspk1
1.250000\t3.000000\tAnn "A"
3.500000\t4.000000\tspk1
""",
    "srt": """\
1
00:00:00,250 --> 00:00:01,500
[spk1]

2
00:00:01,250 --> 00:00:03,000
[Ann "A"]

3
00:00:03,500 --> 00:00:04,000
[spk1]
""",
}


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_turns_are_written_as_other_tools_read_them(kind: str) -> None:
    assert WRITERS[kind][1](TALK) == EXPECTED[kind]


def test_tiers_of_a_textgrid_cover_the_recording() -> None:
    text = WRITERS["textgrid"][1](TALK)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[:2] == ['File type = "ooTextFile"', 'Object class = "TextGrid"']
    assert 'name = "Ann ""A"""' in lines
    tiers = text.split("        class =")[1:]
    for tier in tiers:
        values = [part.strip() for part in tier.splitlines()]
        starts = [float(value.split("=")[1]) for value in values if value.startswith("xmin")][1:]
        stops = [float(value.split("=")[1]) for value in values if value.startswith("xmax")][1:]
        assert starts[0] == 0.0 and stops[-1] == 4.0
        assert starts[1:] == stops[:-1]
        assert f"intervals: size = {len(starts)}" in values
    assert [tier.count('text = ""') for tier in tiers] == [2, 2]


def test_an_hour_is_an_hour_in_subtitles() -> None:
    labels = Labels("long", 4000.0, ("spk1",), (Turn(3661.5, 3662.0, 0),))
    assert "01:01:01,500 --> 01:01:02,000" in WRITERS["srt"][1](labels)
