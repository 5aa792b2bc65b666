"""Entry point of the ``ngpc`` command.

A command is a function in its own file ``cli/<command>.py``, named in ``COMMANDS`` below; its docstring is its help.
Exit codes: 0 done, 1 a comparison failed, 2 the input is wrong (one sentence on stderr says what to change), 130
interrupted, 141 whoever read stdout went away (``ngpc frame | head``).
"""

import os
import sys

import typer
from typer.exceptions import TyperException

from arch.errors import InputError
from cli.cost import cost
from cli.doctor import doctor
from cli.fpga import fpga
from cli.frame import frame
from cli.image import image
from cli.import_field import import_field
from cli.memory import memory
from cli.program import program
from cli.render import render
from cli.report import report
from cli.reproduce import reproduce
from cli.search import search
from cli.serve import serve
from cli.simulate import simulate
from cli.sweep import sweep
from cli.tokens import tokens
from cli.verilog import verilog

__all__ = ["COMMANDS", "app", "main"]

COMMANDS = (render, frame, sweep, memory, tokens, cost, search, serve, verilog, image, fpga, report, doctor)
"""Every command, in the order ``ngpc --help`` lists them; the function's name is the command's."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(command)
app.command(name="import")(import_field)  # a word no function can have as its name
app.add_typer(simulate, name="simulate")
app.add_typer(reproduce, name="reproduce")
app.add_typer(program, name="program")


@app.callback()
def group() -> None:
    """The open NGPC: neural-graphics RTL and a nano-batch operation scheduler, simulated, checked and timed."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line on ``arguments`` (those of the process by default) and exit."""
    try:
        if sys.stdout is None:
            raise InputError("stdout must be open, not closed; send it to a file or to /dev/null")
        try:
            code = app(args=arguments, prog_name="ngpc", standalone_mode=False)
        finally:
            sys.stdout.flush()
    except InputError as error:
        print(f"ngpc: {error}", file=sys.stderr)
        code = 2
    except TyperException as error:
        code = _explain(error)
    except OSError as error:
        # What the system refuses is the user's to mend: a full disk, a directory that may not be written.
        where = "stdout" if error.filename is None else repr(str(error.filename))
        cause = error.strerror or type(error).__name__
        print(f"ngpc: {where} must be readable and writable, not refused by the system ({cause})", file=sys.stderr)
        if error.filename is None and sys.stdout is sys.__stdout__:
            # what a full disk refused now it would refuse again, with a traceback, when the interpreter ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 2
    sys.exit(code or 0)


def _explain(error: TyperException) -> int:
    """Say in one sentence what is wrong with the command line; the help itself if there was nothing on it."""
    message = error.format_message().removesuffix(".")
    context = getattr(error, "ctx", None)
    where = "ngpc" if context is None else context.command_path
    if "\n" in message:
        print(message, file=sys.stderr)
    else:
        print(f"ngpc: {message}; see '{where} --help'", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    main()
