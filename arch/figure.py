"""A figure and how much it is worth."""

from dataclasses import dataclass
from typing import Any

from arch.errors import InputError, check_one_of

__all__ = ["MARKS", "Figure"]

MARKS = ("READ", "DERIVED", "RECALLED", "ASSUMED")
"""READ in the named source, DERIVED by arithmetic from such, RECALLED without a look at it, ASSUMED by this project."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number (or list of numbers, or what is said in words) and where it comes from."""

    value: Any
    mark: str
    source: str

    def __post_init__(self) -> None:
        check_one_of("mark of a figure", self.mark, MARKS)
        if not isinstance(self.source, str) or not self.source:
            raise InputError(f"source of a figure must be a sentence, not {self.source!r}")
