"""Files that are whole or absent: the one place that writes results to disk.

A file is written under a temporary name in its own directory and then renamed, so that a reader never sees half of
it and a failed run leaves what was there before.
"""

import os
import tempfile
from pathlib import Path

from arch.errors import InputError

__all__ = ["check_directory", "make_directory", "write_whole"]


def check_directory(path: Path) -> Path:
    """See that ``path`` is a directory one may write to, or can become one; nothing is made. Raises InputError if not.

    For a long run that would otherwise find out at its end.
    """
    path = Path(path)
    there = path.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        cause = "Permission denied" if there.is_dir() else "Not a directory"
        raise InputError(f"the output directory must be writable, not {str(path)!r} ({cause})")
    return path


def make_directory(path: Path) -> Path:
    """Make ``path`` and its parents and see that a file can be put into it; raises InputError if not."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"the output directory must be writable, not {str(path)!r} ({error.strerror})") from error
    return path


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write ``content`` (text as UTF-8) to ``path`` whole or not at all; raises InputError if it cannot be written."""
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    make_directory(path.parent)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise InputError(f"the output file must be writable, not {str(path)!r} ({error.strerror})") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
