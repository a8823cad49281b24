import pytest

from sepcli.cli.parsing import parse_people, parse_rate, parse_shard, parse_time
from sepcli.errors import UsageError


@pytest.mark.parametrize(
    "text,seconds", [("", None), ("12.5", 12.5), ("3:20", 200.0), ("1:02:03.5", 3723.5)]
)
def test_times(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["1:", "-3", ":", "1:2:3:4", "nan", "1e999", "1e308", "x"])
def test_bad_times(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


def test_rates() -> None:
    assert [parse_rate(text) for text in ("input", "model", "1000")] == ["input", "model", 1000]
    for text in ("999", "768001", "8k", "1" * 5000):
        with pytest.raises(UsageError, match="not a sample rate"):
            parse_rate(text)


def test_numbers_of_speakers() -> None:
    assert [parse_people(text) for text in ("", "auto", "1", "8")] == [None, "auto", 1, 8]
    for text in ("0", "9", "two", "-1", "1" * 5000):
        with pytest.raises(UsageError, match="not a number of speakers"):
            parse_people(text)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "/", "-1/3", f"1/{'3' * 5000}"])
def test_bad_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_shard(text)


def test_a_good_shard_is_parsed() -> None:
    assert parse_shard("3/8") == (3, 8)
    assert parse_shard("") is None
