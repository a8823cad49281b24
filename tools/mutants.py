"""Change sepcli in thousands of small ways and count which changes the tests notice.

    python tools/mutants.py                      every module of the table, most of an hour
    python tools/mutants.py chunking speakers    only those whose path, or a part of it, begins so
    python tools/mutants.py chunking --show      and the changes nobody noticed, as diffs
    python tools/mutants.py audio --sample 50    50 of each module, drawn by a fixed seed

Needs mutmut (`pip install 'sepcli[mutants]'`). Each module is mutated in a copy below
`runs/mutants/`, never in the working tree, and is tried by its own tests alone. What an earlier
run found is kept there, so that an interrupted run goes on; `--again` forgets it.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("sepcli", "tests", "benchmarks", "tools", "docs", "examples")
FILES = ("pyproject.toml", "models.toml", "README.md", "SECURITY.md", "Makefile")

# module below sepcli/ -> its tests below tests/; the smallest and purest first
SCENE = ("separation/speakers/test_scene.py", "separation/speakers/test_timeline.py")
WEIGHTS = ("models/test_load.py", "models/test_build.py")
MODULES = {
    "separation/chunking": ("separation/test_chunking.py",),
    "separation/pauses": ("separation/test_pauses.py",),
    "separation/speakers/levels": ("separation/speakers/test_levels.py",),
    "separation/speakers/evidence": (
        "separation/speakers/test_evidence.py",
        "separation/speakers/test_tracker.py",
    ),
    "separation/speakers/crosstalk": ("separation/speakers/test_crosstalk.py",),
    "separation/speakers/tracker": ("separation/speakers/test_tracker.py",),
    "separation/speakers/assignment": (
        "separation/speakers/test_assignment.py",
        "separation/speakers/test_tracker.py",
    ),
    "separation/speakers/turns": ("separation/speakers/test_turns.py",),
    "separation/speakers/people": ("separation/speakers/test_people.py",),
    "separation/speakers/timeline": ("separation/speakers/test_timeline.py",),
    "separation/speakers/windows": SCENE,
    "separation/speakers/activity": (*SCENE, "separation/speakers/test_activity.py"),
    "separation/speakers/scene": SCENE,
    "separation/speakers/recognition": ("separation/speakers/test_recognition.py",),
    "separation/casting": ("separation/test_casting.py",),
    "separation/composing": ("separation/test_composing.py",),
    "audio/resample": ("audio/test_resample.py",),
    "audio/formats": ("audio/test_formats.py",),
    "files/temporary": ("files/test_temporary.py",),
    "files/space": ("files/test_space.py",),
    "audio/lengths": ("audio/test_lengths.py", "audio/test_whole.py"),
    "audio/find": ("audio/test_find.py",),
    "files/pending": ("files/test_pending.py",),
    "audio/writer": ("audio/test_writer.py",),
    "audio/sources": ("audio/test_sources.py", "audio/test_reader.py"),
    "audio/sndfile": ("audio/test_sndfile.py", "audio/test_reader.py"),
    "audio/reader": ("audio/test_reader.py", "audio/test_ffmpeg.py"),
    "audio/ffmpeg": ("audio/test_ffmpeg.py",),
    "models/quantise": ("models/test_quantise.py",),
    "models/checkpoints": ("models/test_checkpoints.py",),
    "models/build": WEIGHTS,
    "models/cache": ("models/test_cache.py", "models/test_hub.py"),
    "models/hub": ("models/test_hub.py",),
    "models/hub_errors": ("models/test_hub.py",),
    "models/registry": ("models/test_registry.py",),
    "models/entry": ("models/test_entry.py", "models/test_registry.py"),
    "models/formats/asteroid": ("models/formats/test_formats.py",),
    "models/formats/clearvoice": ("models/formats/test_formats.py",),
    "models/formats/look2hear": ("models/formats/test_formats.py",),
    "models/formats/mixin": ("models/formats/test_formats.py",),
    "models/formats/safetensors": ("models/formats/test_formats.py",),
    "models/formats/speechbrain": ("models/formats/test_formats.py",),
    "models/load": WEIGHTS,
}
NAMES = """
import sys
from pathlib import Path
from mutmut.__main__ import get_mutant_name
from mutmut.mutation.file_mutation import mutate_file_contents
path = Path(sys.argv[1])
for name in mutate_file_contents(str(path), path.read_text(), None, None).mutant_names:
    print(get_mutant_name(path, name))
"""
DIFFS = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[2:]:
    print(name, get_diff_for_mutant(name, path=sys.argv[1]), sep="\\n")
"""
KILLED = ("killed", "timeout", "segfault", "suspicious")


def chosen(names: Sequence[str]) -> list[str]:
    """Return the modules of which the path, or a part of it, begins with one of the names."""
    found = [m for m in MODULES if any(m.startswith(n) or f"/{n}" in m for n in names)]
    if names and not found:
        raise SystemExit(f"no module of the table begins so: {' '.join(names)}")
    return found or list(MODULES)


def prepare(module: str, again: bool) -> Path:
    """Return a folder with a copy of the tree and the settings for one module."""
    folder = ROOT / "runs" / "mutants" / module.replace("/", "-")
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.rmtree(folder / name, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    tests = "".join(f"\n    tests/{test}" for test in MODULES[module])
    copied = "".join(f"\n    {name}" for name in (*COPIED[2:], *FILES[1:]))
    (folder / "setup.cfg").write_text(
        "[mutmut]\n"
        "source_paths =\n    sepcli\n"
        f"only_mutate =\n    sepcli/{module}.py\n"
        f"also_copy ={copied}\n"
        f"pytest_add_cli_args_test_selection ={tests}\n"
        "pytest_add_cli_args =\n    -p\n    no:cacheprovider\n    --hypothesis-profile=mutants\n"
        "use_git_change_detection = false\n"
        "track_dependencies = false\n"
        "timeout_multiplier = 5.0\n"
        "timeout_constant = 5.0\n"
    )
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Return what a Python program prints in that folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} in {folder}:\n{done.stdout[-4000:]}")
    return done.stdout


def names_of(folder: Path, module: str) -> list[str]:
    """Return the names of all mutants of a module."""
    return run(folder, "-c", NAMES, f"sepcli/{module}.py").split()


def results(folder: Path) -> dict[str, str]:
    """Return what became of each mutant that was tried, by its name."""
    lines = run(folder, "-m", "mutmut", "results", "--all", "true").splitlines()
    found = dict(line.strip().split(": ") for line in lines if line.startswith("    "))
    return {name: status for name, status in found.items() if status != "not checked"}


def main() -> None:
    """Print a table of the modules chosen, and what nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="beginnings of modules; default: all")
    parser.add_argument("--show", action="store_true", help="print the changes nobody noticed")
    parser.add_argument("--again", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--sample", type=int, help="try no more than this many of a module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--left", action="store_true", help="try again what earlier runs left")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    modules = chosen(options.names)
    print("| module | mutants | tried | killed | of them by time | without a test | score |")
    print("|---|---|---|---|---|---|---|")
    for module in modules:
        folder = prepare(module, options.again)
        every = names_of(folder, module)
        few = options.sample and options.sample < len(every)
        drawn = random.Random(options.seed).sample(every, options.sample) if few else []
        if options.left:
            drawn = [name for name, status in results(folder).items() if status not in KILLED]
        run(folder, "-m", "mutmut", "run", "--max-children", str(options.children), *drawn)
        found = {n: s for n, s in results(folder).items() if not drawn or n in drawn}
        count = Counter(found.values())
        killed = sum(count[status] for status in KILLED)
        score = f"{100 * killed / len(found):.1f} %" if found else "none"
        row = (len(every), len(found), killed, count["timeout"], count["no tests"], score)
        print(f"| {module} | {' | '.join(map(str, row))} |", flush=True)
        left = [name for name, status in found.items() if status not in KILLED]
        if options.show and left:
            print(run(folder, "-c", DIFFS, f"sepcli/{module}.py", *left), flush=True)


if __name__ == "__main__":
    main()
