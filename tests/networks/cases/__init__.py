"""One file a network: how the tests build it (see tests/networks/golden.py)."""
