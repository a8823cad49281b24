"""`python -m sepcli`."""

from sepcli.cli import main

main()
