"""The command ``hopflow``: a thin shell around the modules that do the work."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import hopflow as hf
from hopflow.commands.bench import bench
from hopflow.commands.convert import convert
from hopflow.commands.doctor import doctor
from hopflow.commands.infer import infer
from hopflow.commands.partition import partition
from hopflow.commands.plan import plan
from hopflow.commands.train import train

app = typer.Typer(
    help="Train graph neural networks on graphs too large for full-batch training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"hopflow {hf.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and leave.")
    ] = False,
) -> None:
    pass


for command in (train, infer, convert, partition, plan, bench, doctor):
    app.command()(command)


def main() -> None:
    """Entry point of the command."""
    try:
        app()
    except BrokenPipeError:
        # The reader of a pipe has left; nothing more to tell it.
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
