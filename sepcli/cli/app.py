"""The command `sepcli`: its commands put together, and their failures told."""

import difflib
import inspect
import os
import platform
import re
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand

import sepcli
from sepcli.cli import console
from sepcli.cli.signals import Interrupted, interruptible
from sepcli.errors import OutputError, SepcliError, UsageError
from sepcli.memory import keep_freed_memory

try:
    from typer.exceptions import TyperException
except ImportError:  # below 0.28 it is click's
    from click import ClickException as TyperException  # type: ignore

app = typer.Typer(
    name="sepcli",
    help="Separate a recording of people talking over each other into one file per speaker.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all done, 1 any input failed, 2 usage, 130 interrupted.",
)

# what the parser says of a name that it does not know, the name, and the first that it suggests
_UNKNOWN = re.compile(
    r"(No such (?:command|option)):? '?([^' ]*?)'?(?:\.? .*?(?:mean|:) '?(?!one of)([\w-]+).*)?$"
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.result(f"sepcli {sepcli.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Separate a recording of people talking over each other into one file per speaker."""


class _Command(TyperCommand):
    """A command that takes no empty path, which pathlib reads as the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, once no variable that is not set stands where a file or folder is asked for."""
        annotations = inspect.get_annotations(inspect.unwrap(self.callback or _root))
        paths = {name for name, kind in annotations.items() if _is_path(kind)}
        try:
            given = self.make_parser(ctx).parse_args(args=[*args])[0]
        except TyperException as misuse:
            vars(misuse)["ctx"] = ctx  # not every complaint knows its command
            raise
        for param in self.params:
            values = given.get(param.name or "")
            values = values if isinstance(values, list | tuple) else [values]
            if param.name in paths and "" in values:
                word = max(param.opts, key=len)
                word = word if word.startswith("-") else word.upper()
                raise UsageError(f"path is empty: {word}", "leave it out, or name a file or folder")
        return super().parse_args(ctx, args)


def _is_path(annotation: Any) -> bool:
    """Return whether `Annotated[...]` of an option is that of a path, or of several."""
    kind = next(iter(get_args(annotation)), None)
    return kind is Path or any(part is Path or Path in get_args(part) for part in get_args(kind))


def _keep_numpy_to_one_thread() -> None:
    """Keep numpy's OpenBLAS from threads of its own, before numpy is loaded.

    After each product they wait for the next one without sleeping, on processors that the network
    needs. Elsewhere than on x86, torch itself may compute with OpenBLAS, which asks the same
    variable.
    """
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _take_threads_from_slurm() -> None:
    """Keep torch to the processors of the Slurm task, before it is loaded.

    Where tasks are not bound, each would take the whole node; where a step got fewer than its job
    asked for, as `srun` gives without `--cpus-per-task`, threads would wait for each other.
    """
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if asked.isdecimal() and hasattr(os, "sched_getaffinity"):
        threads = min(int(asked), len(os.sched_getaffinity(0)))
        os.environ.setdefault("OMP_NUM_THREADS", str(max(threads, 1)))


def _hold_closed_streams() -> None:
    """Open standard streams that are closed, on nothing, before a file gets their number.

    Decoders say what is wrong with a recording on number 2, whatever that is.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def main() -> None:
    """Run the command line and end the process with its exit code.

    A known failure is one line and a hint. SIGINT and SIGTERM unwind the running command, so
    that temporary files go away, and end with 130 and 143; once it is unwound they end at once.
    """
    try:
        with interruptible():
            _hold_closed_streams()
            keep_freed_memory()
            _keep_numpy_to_one_thread()
            _take_threads_from_slurm()
            sys.exit(app(prog_name="sepcli", standalone_mode=False))
    except TyperException as misuse:
        if misuse.format_message():  # else no command was given, and help was printed
            console.error(_told(misuse))
        sys.exit(UsageError.exit_code)
    except SepcliError as failure:
        console.error(failure)
        sys.exit(failure.exit_code)
    except (Interrupted, KeyboardInterrupt) as interruption:
        number = getattr(interruption, "number", signal.SIGINT)
        console.note("interrupted: finished outputs are kept")
        sys.exit(128 + number)
    except BrokenPipeError:  # the reader of stdout has gone, as in `sepcli info | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as refusal:
        if refusal.filename is None:  # not of a file: a fault of ours, to be seen whole
            raise
        console.error(_refused(refusal))
        sys.exit(OutputError.exit_code)
    finally:
        console.lose_what_stderr_refuses()


def _refused(refusal: OSError) -> OutputError:
    """Return a failure of the operating system as an error of ours."""
    what = (refusal.strerror or type(refusal).__name__).lower()
    failure = OutputError(
        f"file or folder cannot be used ({what}): {refusal.filename}",
        "check the path, its permissions, and the room on its disk",
    )
    failure.__cause__ = refusal
    return failure


def _told(misuse: TyperException) -> UsageError:
    """Return a complaint of the command line's parser as an error of ours."""
    text = misuse.format_message().replace("Value error, ", "").rstrip(".")
    context = getattr(misuse, "ctx", None)
    command = context.command_path if context else "sepcli"
    hint = f"see: {command} --help"
    if match := _UNKNOWN.match(text):
        kind, wrong, right = match.groups()
        text = f"{kind}: {wrong}"
        if difflib.get_close_matches(wrong.strip("-"), [(right or "").strip("-")]):
            hint = f"did you mean {right}"
    return UsageError(text[:1].lower() + text[1:], hint)


# The commands import nothing heavy until they run.
from sepcli.cli.bench import bench  # noqa: E402
from sepcli.cli.download import download  # noqa: E402
from sepcli.cli.evaluate import evaluate  # noqa: E402
from sepcli.cli.export import export  # noqa: E402
from sepcli.cli.info import info  # noqa: E402
from sepcli.cli.mix import mix  # noqa: E402
from sepcli.cli.separate import separate  # noqa: E402
from sepcli.cli.train import pack, train  # noqa: E402

for _command in (separate, info, download, evaluate, bench, mix, train, pack, export):
    app.command(cls=_Command)(_command)
