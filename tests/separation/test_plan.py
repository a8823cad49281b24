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


@pytest.mark.parametrize(
    ("level", "chosen", "is_levelled"),
    [
        ("fit", None, True),
        ("as-is", None, True),
        ("fit", "as-is", False),  # a network that gives any level, and nobody fits it
        ("as-is", "as-is", True),
        ("as-is", "fit", True),
    ],
)
def test_estimates_have_their_speakers_level_if_fitted_or_if_the_network_gives_it(
    level: str, chosen: str | None, is_levelled: bool
) -> None:
    options = SeparationOptions(level=chosen)  # type: ignore[arg-type]
    plan = plan_recordings(entry(level=level), options, hear_bands)
    assert plan.is_levelled == is_levelled
