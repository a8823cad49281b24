"""What compressors cost a separator: voices as telephones, conferences and broadcasts put them.

    python benchmarks/compressors.py ../shared/speech/dev --count 32

Each voice of the mixtures of `benchmarks/mixtures.py` goes through a compressor of its own. Printed
are the mean SI-SDRi [dB], and what the powers of the true voices would give as shares, which says
how much of it is that compressed voices leave each other fewer gaps.
"""

import numpy as np
import torch
from mixtures import LEVEL, from_command_line, improvement

from sepcli.evaluation.metrics import si_sdr_improvement
from sepcli.networks.ensemble import powers_of, shares
from sepcli.networks.layers.fourier import analyse, sine_window, synthesise
from sepcli.training.dynamics import compressed

RATIOS = (1, 2, 4, 8)
THRESHOLD_DB, SMOOTH_SECONDS = -25.0, 0.03
WINDOW_SECONDS = 0.064


def with_true_powers(references: np.ndarray, rate: int) -> float:
    """Return the mean SI-SDRi [dB] of a Wiener filter that knows the voices `[2, samples]`."""
    voices, length = torch.from_numpy(references), round(WINDOW_SECONDS * rate)  # [S, time]
    mixture = voices.sum(0, keepdim=True)
    window, stride = sine_window(length, length // 2), length // 2
    spectra, whole = (analyse(each, window, stride)[None] for each in (voices, mixture))
    estimates = synthesise(
        shares(powers_of(spectra, whole)) * whole, window, stride, voices.shape[-1]
    )[0]
    return float(si_sdr_improvement(estimates, voices, mixture[0]).mean())


def main() -> None:
    """Print the table."""
    separator, clean = from_command_line(__doc__, 32)
    rate = separator.entry.sample_rate
    print(f"{'ratio':>6}{'SI-SDRi':>9}{'with true powers':>18}")
    for ratio in RATIOS:
        rows = []
        for references in clean:
            levels = references.std(axis=1, keepdims=True)
            voices = np.stack(
                [
                    compressed(
                        voice,
                        threshold_db=THRESHOLD_DB,
                        ratio=ratio,
                        smooth_samples=SMOOTH_SECONDS * rate,
                    )
                    for voice in references
                ]
            )
            voices *= levels / voices.std(axis=1, keepdims=True)
            voices *= LEVEL / voices.sum(axis=0).std()
            heard = improvement(separator, voices.sum(axis=0), voices)
            rows.append((heard, with_true_powers(voices, rate)))
        found, known = np.mean(rows, axis=0)
        print(f"{ratio:>4}:1{found:9.2f}{known:18.2f}", flush=True)


if __name__ == "__main__":
    main()
