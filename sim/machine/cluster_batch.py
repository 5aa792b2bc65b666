"""What a cluster takes for a batch of points of one of the study's fields."""

from collections.abc import Mapping
from functools import cache
from math import ceil

from arch.errors import InputError, check_one_of
from arch.field import FieldConfig
from arch.nfp import NfpConfig
from arch.presets import FIELDS
from sim.machine.nfp_rate import NfpRate, TableReload, nfp_for, nfp_rate, table_reload

__all__ = [
    "CLOCK_HZ", "ENCODINGS", "NGPC_TABLE_BYTES", "TABLES", "cluster_clk", "field_of", "preset_nfp", "preset_rate",
    "reload_of",
]  # fmt: skip

ENCODINGS: Mapping[str, str] = {"hashgrid": "hash", "densegrid": "dense", "lowres": "lowres"}
"""Encodings by the study's name, with the suffix of the field preset."""

CLOCK_HZ = 1e9
"""Of the cluster: implied by the study, never stated."""

TABLES = ("sized", "reload", "refuse")
"""What to do with tables beyond the study's 1 MiB a level engine: enlarge the engines; load the tables in parts, anew
for every batch; refuse."""

NGPC_TABLE_BYTES = 1 << 20
"""Of a level engine, as the study has it."""


def cluster_clk(
    app: str, encoding: str, n_nfp: int, points: int, *, rate: NfpRate | None = None, tables: str = "sized"
) -> float:
    """Clocks from the first point of a batch to its last result.

    The batch is dealt out in whole nano-batches, so the processor that got most of them sets the time.

    Parameters
    ----------
    app, encoding : the field
    n_nfp : processors that share it
    points : of the batch
    rate : of one processor on the field, by default that of the cycle models
    tables : one of ``TABLES``

    Raises
    ------
    InputError
        If tables do not fit and are to be refused.
    """
    rate = rate or preset_rate(app, encoding)
    reload = reload_of(app, encoding, tables, rate=rate)
    nano_batch = preset_nfp(app, encoding).mlp.nano_batch
    points_per_nfp = ceil(ceil(points / nano_batch) / n_nfp) * nano_batch
    return points_per_nfp * reload.clk_per_point(rate) + reload.load_clk + rate.latency


def reload_of(app: str, encoding: str, tables: str, *, rate: NfpRate | None = None) -> TableReload:
    """What a batch costs because its tables do not fit: one part and no load if they do, or are ``sized``.

    Raises
    ------
    InputError
        If tables do not fit and are to be refused.
    """
    check_one_of("tables", tables, TABLES)
    rate = rate or preset_rate(app, encoding)
    if tables == "sized" or rate.table_bytes <= NGPC_TABLE_BYTES:
        return TableReload(parts=1, load_clk=0)
    if tables == "refuse":
        raise InputError(
            f"table of a level engine must be at most 1024 KiB, not {rate.table_bytes / 1024:.0f} as {app} "
            f"{encoding} needs; enlarge the engines (sized) or load them in parts (reload)"
        )
    return table_reload(field_of(app, encoding), preset_nfp(app, encoding), NGPC_TABLE_BYTES)


def field_of(app: str, encoding: str) -> FieldConfig:
    """The study's field."""
    return FIELDS[f"{app}_{ENCODINGS[encoding]}"]


@cache
def preset_nfp(app: str, encoding: str) -> NfpConfig:
    """NGPC's processor with tables as large as the field needs."""
    return nfp_for(field_of(app, encoding))


@cache
def preset_rate(app: str, encoding: str) -> NfpRate:
    """Its speed on the field."""
    return nfp_rate(field_of(app, encoding), preset_nfp(app, encoding))
