import pytest

from sepcli.separation.plan import SeparationOptions, plan_recordings
from tests.doubles import RATE, entry, hear_bands


@pytest.mark.parametrize(
    ("rate", "choices", "kept"),
    [
        (RATE, {}, False),
        (2 * RATE, {}, True),
        (RATE // 2, {}, True),
        (2 * RATE, {"outside_overlap": "separated"}, True),
        (RATE // 2, {"outside_overlap": "separated"}, False),
        (2 * RATE, {"outside_overlap": "separated", "bandwidth": "model"}, False),
        (2 * RATE, {"bandwidth": "model"}, True),
    ],
)
def test_a_copy_at_its_own_rate_is_kept_where_files_hold_some_of_it(
    rate: int, choices: dict[str, str], kept: bool
) -> None:
    options = SeparationOptions(**choices)  # type: ignore[arg-type]
    assert plan_recordings(entry(), options, hear_bands).keeps_own_rate(rate) == kept
