"""Whatever foreign files cause is one line."""

import pytest

from sepcli.errors import ModelError, WeightsError
from sepcli.models.config_files import Tagged
from sepcli.models.foreign import one_line, shown


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (IndexError("tuple index out of range"), "IndexError: tuple index out of range"),
        (ValueError("cannot convert float NaN to integer"), "cannot convert float NaN to integer"),
        (RecursionError("too deep\nand more"), "too deep"),
        (KeyError(), "KeyError: "),
        (AssertionError(), "AssertionError"),
        (RuntimeError("\x1b[31mred"), "\\x1b[31mred"),
    ],
)
def test_a_failure_no_one_thought_of_is_one_line(failure: Exception, said: str) -> None:
    with pytest.raises(WeightsError) as caught, one_line("model x"):
        raise failure
    assert caught.value.message == f"files of model x are not as their format has it: {said}"
    assert caught.value.__cause__ is failure


def test_memory_and_errors_of_ours_say_what_they_are() -> None:
    with pytest.raises(WeightsError, match="more memory than there is"), one_line("model x"):
        raise MemoryError
    with pytest.raises(ModelError, match=r"^ours$"), one_line("model x"):
        raise ModelError("ours")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (3, "3"),
        (10**5000, "beyond 10^18"),
        ([1] * 9, "a list of 9"),
        (Tagged("ref", ["x"] * 10**6), "a Tagged"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("x" * 100, "'" + "x" * 56 + "..."),
        (None, "None"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_in_a_message_is_short(value: object, text: str) -> None:
    assert shown(value) == text
