"""The MLP engine's configuration: derived sizes, and every sentence it refuses with."""

from dataclasses import replace

import pytest

from arch.errors import InputError
from arch.mlp_engine import ACTIVATION_CYCLES, MlpEngineConfig

ENGINE = MlpEngineConfig(rows=8, cols=12, max_width=24, max_layers=3, weight_tiles=18, nano_batch=64)


def test_derived_sizes() -> None:
    assert ENGINE.macs == 96
    assert (ENGINE.lane_values, ENGINE.n_lanes) == (4, 6)
    wide = replace(ENGINE, cols=16, max_width=48)
    assert (wide.lane_values, wide.n_lanes) == (8, 6)
    wider = replace(wide, max_width=52)  # no multiple of 8: tiles reach past it, lanes do not
    assert (wider.lane_values, wider.n_lanes) == (4, 13)
    assert ENGINE.weight_rows == 144
    assert ENGINE.partial_sum_bits == 19
    assert replace(ENGINE, arithmetic="int16").partial_sum_bits == 27


def test_timing_formulas() -> None:
    """docs/engines/mlp/timing.md states these sums; the benches check them against the RTL."""
    assert ENGINE.array_cycles == 8 + 12 + 1
    assert ENGINE.prime_cycles == 8 + 3
    assert ENGINE.latency_cycles == 8 + 12 + 13
    assert replace(ENGINE, activation_tables=1).latency_cycles == 8 + 12 + 13 + ACTIVATION_CYCLES
    assert ENGINE.min_pass_cycles == 8 + 12 + 13
    assert [ENGINE.pass_cycles(n) for n in (1, 33, 34, 64)] == [33, 33, 34, 64]


def test_sine_is_built_where_asked_for_and_costs_no_clock() -> None:
    tables = replace(ENGINE, rows=16, arithmetic="fp16", activation_tables=1)
    sine = replace(tables, sine=True)
    assert sine.activations == (*tables.activations, "Sine")
    assert (sine.latency_cycles, sine.min_pass_cycles) == (tables.latency_cycles, tables.min_pass_cycles)


@pytest.mark.parametrize("rows", [4, 8, 64, 128])
@pytest.mark.parametrize("arithmetic", ["int8", "int16"])
def test_partial_sums_are_exact(rows: int, arithmetic: str) -> None:
    engine = MlpEngineConfig(rows=rows, cols=4, max_width=128, arithmetic=arithmetic)
    largest = rows << (engine.profile.value_bits + engine.profile.weight_bits - 2)
    assert largest < 1 << (engine.partial_sum_bits - 1) <= 1 << (engine.profile.accumulator_bits - 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": 6}, "rows must be a multiple of 4 from 4 to 128, not 6"),
        ({"cols": 132}, "cols must be a multiple of 4 from 4 to 128, not 132"),
        ({"nano_batch": 0}, "nano_batch must be an integer from 1 to 4096, not 0"),
        ({"max_width": 132}, "max_width must be a multiple of 4 from 4 to 128, not 132"),
        ({"max_width": 34}, "max_width must be a multiple of 4 from 4 to 128, not 34"),
        ({"max_layers": 9}, "max_layers must be an integer from 1 to 8, not 9"),
        ({"weight_tiles": 8193}, "weight_tiles must be an integer from 1 to 8192, not 8193"),
        ({"activation_tables": 8}, "activation_tables must be an integer from 0 to 7, not 8"),
        ({"sine": True, "activation_tables": 1}, "arithmetic of an engine with sine must be one of fp16, not 'int8'"),
        (
            {"sine": True, "arithmetic": "fp16", "rows": 16},
            "activation_tables of an engine with sine must be an integer from 1 to 7, not 0",
        ),
        ({"arithmetic": "int4"}, "arithmetic must be one of int8, int16, fp16, not 'int4'"),
    ],
)
def test_config_refuses(changes: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}$"):
        replace(ENGINE, **changes)
