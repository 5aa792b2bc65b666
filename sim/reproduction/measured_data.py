"""Measurements as CSV files: what a file's name says is in it, and every value checked as it is read.

A folder holds any of the files named in ``FILES``, with at least the columns listed there; others are left alone.
``workloads/measured/h200`` is one such folder; :func:`read_measured` reads any.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from arch.errors import InputError

__all__ = ["FILES", "MeasuredRow", "read_measured"]

FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "A_ceilings": ("kind", "us", "TBs", "ctas", "BLK", "TFs", "us_per_node"),
        "B_gemm": ("model", "op", "M", "N", "K", "us_burst", "us_sust"),
        "B_decode_attn_triton": ("model", "B", "S", "nsplit", "us"),
        "B_prefill": ("model", "nseq", "L", "past", "backend", "us"),
        "B_other": ("model", "T", "add_rmsnorm_us", "silu_mul_us", "rope_append_us"),
        "C_bandwidth_vs_SMs": ("kind", "k", "TBs", "warps", "stages"),
        "C_gemm_alone": ("op", "M", "impl", "us"),
        "C_gemm_x_attention": ("model", "op", "M", "part", "k", "impl", "P_gemm", "P_attn"),
        "N_collectives_alone": ("coll", "rows", "bytes", "group", "us"),
        "N_gemm_x_collective": ("op", "M", "coll", "rows", "group", "mode", "P_gemm", "P_coll"),
        "N_p2p_copy_engine": ("rows", "bidir", "copy_us", "gemm_us", "gemm_ovl_us"),
        "D_layers": ("model", "tp", "regime", "n_dec", "ctx", "n_pref", "nb", "overlap", "partition", "k", "skip",
                     "paired", "us_per_layer"),
    }
)  # fmt: skip
"""Columns of every kind of file; a name may go on after an underscore (``D_layers_8b_dec2048_ctx1024``)."""

_MOST_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """One line of a file; cells are read by the kind of value asked for."""

    file: str
    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """A cell as it stands; empty if the file has no such column."""
        return self.cells.get(column) or ""

    def number(self, column: str) -> float | None:
        """A number above or equal to 0; None for an empty cell."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < 1e15:
            raise InputError(f"{column} in line {self.line} of {self.file} must be a number from 0, not {text!r}")
        return value

    def integer(self, column: str) -> int:
        """A whole number; 0 for an empty cell."""
        value = self.number(column) or 0.0
        if value != int(value):
            raise InputError(f"{column} in line {self.line} of {self.file} must be a whole number, not {value:g}")
        return int(value)

    def flag(self, column: str) -> bool:
        """``True`` or ``False``; an empty cell is false."""
        text = self.text(column)
        if text not in ("True", "False", ""):
            raise InputError(f"{column} in line {self.line} of {self.file} must be True or False, not {text!r}")
        return text == "True"


def read_measured(folder: Path | None = None) -> dict[str, list[MeasuredRow]]:
    """Rows of every kind of file in a folder, by the names of ``FILES``; the packaged H200 data by default.

    Raises
    ------
    InputError
        If the folder has none of the files, or one cannot be read or lacks a column.
    """
    if folder is None:
        found = [(entry.name, entry.read_text("utf-8")) for entry in _packaged()]
    else:
        if not folder.is_dir():
            raise InputError(f"data must be a folder of CSV files, not {str(folder)!r}")
        found = [(path.name, _text(path)) for path in sorted(folder.glob("*.csv"))]
    rows: dict[str, list[MeasuredRow]] = {}
    for name, text in sorted(found):
        kind = _kind(name.removesuffix(".csv"))
        if kind is not None:
            rows.setdefault(kind, []).extend(_rows(name, text, FILES[kind]))
    if not rows:
        raise InputError(f"data must have a file such as {', '.join(FILES)}.csv, not only {len(found)} others")
    return rows


def _packaged() -> list:
    folder = resources.files("workloads") / "measured" / "h200"
    return [entry for entry in folder.iterdir() if entry.name.endswith(".csv")]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"data file must have at most {_MOST_BYTES} bytes, not {path.stat().st_size}")
        return path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"data file must be readable, not {str(path)!r} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"data file must be UTF-8 text, not {str(path)!r} ({error.reason})") from error


def _kind(stem: str) -> str | None:
    return next((kind for kind in FILES if stem == kind or stem.startswith(kind + "_")), None)


def _rows(name: str, text: str, columns: Sequence[str]) -> list[MeasuredRow]:
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"data file {name} must have the columns {', '.join(columns)}, not lack {', '.join(missing)}")
    try:
        return [MeasuredRow(file=name, line=line, cells=cells) for line, cells in enumerate(reader, 2)]
    except csv.Error as error:
        raise InputError(f"data file {name} must be CSV text, not hold what it does ({error})") from error
