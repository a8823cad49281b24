"""Separate a waveform in memory, from Python.

From the root of a clone:

    pip install . && python examples/python_api.py
"""

from pathlib import Path

import soundfile

from sepcli import Separator

mixture, sample_rate = soundfile.read(Path(__file__).parent / "mixture.flac", dtype="float32")
separator = Separator.from_pretrained()
separation = separator.separate(mixture.T, sample_rate)  # [samples] or [channels, samples]
for number, estimate in enumerate(separation.estimates, start=1):
    print(f"speaker {number}: {len(estimate)} samples at {separation.sample_rate} Hz")
