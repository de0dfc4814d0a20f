"""The commands together, and how errors end: in one line on stderr and exit code 2."""

import gc
import logging
import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

import srd_jax
from srd_jax.errors import SRDError

from . import ablate, apop, attack, batch, bench, erf, evaluate, explain, pointing, tables, train
from .terminal import one_line

__all__ = ["app", "main"]

_WRONG, _INTERRUPTED = 2, 130
_GARBAGE = 100_000  # new objects before Python looks for some: tracing makes many, and they stay
# the base of all usage errors, which Typer exports under no name of its own
_UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])


class _OneLineErrors(TyperGroup):
    """A command group whose errors are one line on stderr, whoever runs it."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command; in Click's standalone mode exit with its code."""
        if not options.pop("standalone_mode", True):
            return super().main(*args, standalone_mode=False, **options)  # type: ignore[misc]
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")
                code = super().main(*args, standalone_mode=False, **options)  # type: ignore[misc]
        except (SRDError, _UsageError) as error:
            text = error.format_message() if isinstance(error, _UsageError) else str(error)  # type: ignore[attr-defined]
            _refuse(text)
        except OSError as error:
            what = f"{error.filename} cannot be used" if error.filename else "the results cannot be printed"
            _refuse(f"{what}: {error.strerror or error}")
        except (KeyboardInterrupt, typer.Abort):
            sys.exit(_INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def _refuse(text: str) -> NoReturn:
    """Exit with an error in one line."""
    with suppress(OSError):
        typer.echo(f"srd: {one_line(text)}", err=True)
    sys.exit(_WRONG)


app = typer.Typer(
    name="srd",
    cls=_OneLineErrors,
    help="Why a vision model decided what it did: Sharing Ratio Decomposition.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"srd_jax {srd_jax.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _srd(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("explain")(explain.explain)
app.command("erf")(erf.erf)
app.command("evaluate")(evaluate.evaluate)
app.command("ablate")(ablate.ablate)
app.command("apop")(apop.apop)
app.command("pointing")(pointing.pointing)
app.command("attack")(attack.attack)
app.command("batch")(batch.batch)
app.command("bench")(bench.bench)
app.command("train")(train.train)
app.command("layers")(tables.layers)
app.command("models")(tables.models)
app.command("methods")(tables.methods)
app.command("cost")(tables.cost)


def main() -> None:
    """Run the command line and exit with its code: 0, 2 after an error of the user's, 130 after Ctrl-C."""
    # clients report every retry; a failed download is one line of ours
    for client in ("huggingface_hub", "urllib3"):
        logging.getLogger(client).setLevel(logging.CRITICAL)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an encoding without some character must not cost the results
    gc.set_threshold(_GARBAGE)
    try:
        app(prog_name="srd")
    finally:
        _discard_unprintable()
        gc.freeze()  # the process ends: nothing that is left is worth looking through


def _discard_unprintable() -> None:
    """Leave nothing behind that Python would fail to print once more as it ends, with a message of its own."""
    if isinstance(sys.stdout, TextIOWrapper):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
