"""Program files on disk, and programs by name or path."""

from pathlib import Path

from arch.errors import InputError
from arch.program_text import FORMS, ProgramText, parse_program
from arch.workload import load_program_text, program_tables

__all__ = ["find_program", "read_program", "read_text"]

_LARGEST_FILE = 1 << 20


def find_program(name: str) -> ProgramText:
    """A program by the name of a preset (``-`` and ``_`` are the same) or by the path of a ``.toml`` or ``.json`` file.

    Raises
    ------
    InputError
        If there is neither, or the file is not a legal program.
    """
    if "/" in name or Path(name).suffix.removeprefix(".") in FORMS:
        return read_program(Path(name))
    return load_program_text(name.replace("-", "_"))


def read_program(path: Path) -> ProgramText:
    """Read a program file; its ending says its form, its stem the program's name if the text does not."""
    form = path.suffix.removeprefix(".")
    if form not in FORMS:
        raise InputError(f"ending of a program file must be one of .{', .'.join(FORMS)}, not {str(path)!r}")
    return parse_program(read_text("program file", path), form, name=path.stem, read_base=program_tables)


def read_text(what: str, path: Path) -> str:
    """The text of a small file; raises InputError if it cannot be read, is large or is not UTF-8."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{what} must be a readable file, not {str(path)!r} ({error.strerror})") from error
    if len(data) > _LARGEST_FILE:
        raise InputError(f"{what} must have at most {_LARGEST_FILE} bytes, not more, as {str(path)!r} has")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} must be UTF-8 text, not {str(path)!r} ({error.reason})") from error
