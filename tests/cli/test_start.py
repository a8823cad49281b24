"""What answers at once does not wait for what separates."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "soundfile", "soxr", "scipy", "huggingface_hub", "lightning")


@pytest.mark.parametrize(
    "arguments,allowed",
    [(["--help"], ()), (["separate", "--help"], ()), (["info"], ("huggingface_hub",))],
)
def test_no_heavy_imports(arguments: list[str], allowed: tuple[str, ...]) -> None:
    program = (
        "import sys\n"
        "from sepcli.cli import main\n"
        f"sys.argv = ['sepcli', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].removeprefix("loaded:").split()
    assert sorted(set(loaded) - set(allowed)) == []
