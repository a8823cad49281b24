import pytest

from sepcli.networks import s4m, tdanet


@pytest.mark.parametrize("make", [tdanet.Config, s4m.Config])
@pytest.mark.parametrize("window", [5, 6, 30, 66])
def test_refuses_windows_that_are_not_four_strides_long(
    make: type[tdanet.Config | s4m.Config], window: int
) -> None:
    with pytest.raises(ValueError, match=f"^window must be a multiple of 4: {window}$"):
        make(window=window)
