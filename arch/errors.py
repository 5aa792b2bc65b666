"""The one exception a user can cause, and the sentences it speaks.

Every refused value raises :class:`InputError` with one sentence of the form
"<what> must be <rule>, not <value>", optionally followed by what to change.
The command line prints the sentence and exits with code 2; anything else that
escapes is a defect of this project and keeps its traceback.
"""

import sys
from collections.abc import Collection
from typing import Any

__all__ = ["InputError", "check_instance", "check_integer", "check_multiple", "check_one_of", "check_positive"]


class InputError(ValueError):
    """The input is wrong; ``str(error)`` is one sentence that says what was found and what to change."""


def check_one_of(what: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse a value outside ``choices``."""
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        listed = ", ".join(str(choice) for choice in choices)
        raise InputError(f"{what} must be one of {listed}, not {value!r}")


def check_instance(what: str, value: Any, kind: type) -> None:
    """Refuse anything but a ``kind``."""
    if not isinstance(value, kind):
        raise InputError(f"{what} must be a {kind.__name__}, not {value!r}")


def check_integer(what: str, value: Any, low: int, high: int) -> None:
    """Refuse anything but an integer of ``low`` .. ``high``, both included.

    An integer is Python's own: a configuration goes into JSON and into widths of signals, where NumPy's would wrap.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{what} must be an integer from {low} to {high}, not {value!r}")


def check_multiple(what: str, value: Any, of: int, low: int, high: int) -> None:
    """Refuse anything but a multiple of ``of`` in ``low`` .. ``high``, both included."""
    if isinstance(value, bool) or not isinstance(value, int) or value % of or not low <= value <= high:
        raise InputError(f"{what} must be a multiple of {of} from {low} to {high}, not {value!r}")


def check_positive(what: str, value: Any) -> None:
    """Refuse anything but a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InputError(f"{what} must be a number above 0, not {value!r}")
