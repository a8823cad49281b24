"""Separate a recording of people talking over each other into one clean file per speaker."""

__version__ = "0.1.0"
