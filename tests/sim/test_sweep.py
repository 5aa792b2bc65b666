"""Silicon of a processor and the design space of a cluster."""

from dataclasses import replace

import pytest

from arch.cell_table import GATES, load_cells
from arch.errors import InputError
from arch.presets import FIELDS
from arch.workload import load_calibration
from sim.machine import sweep as sweep_module
from sim.machine.nfp_rate import nfp_for, nfp_rate
from sim.machine.silicon import nfp_silicon
from sim.machine.sweep import sweep

FIELD = FIELDS["nerf_hash"]


def test_area_is_the_counted_gates_and_the_configured_bits():
    nfp = nfp_for(FIELD)
    silicon = nfp_silicon(nfp, FIELD)
    table, cells = load_calibration("technology_7nm"), load_cells()
    gates = {gate: 16 * cells.level_engine(2)[gate] + cells.mlp_engine(64, 64, False)[gate] for gate in GATES}
    um2 = sum(count * table[f"gate_45nm_um2.{gate}"] for gate, count in gates.items())
    assert silicon.logic_mm2 == pytest.approx(um2 * 0.0242 / 0.7 * 1e-6)
    tables = 16 * nfp.encoding.table_rows * 16 * 2  # bits, in cells of two ports
    others = 2 * 16 * 64 * 64 * 8 + 2 * 256 * 64 * 8
    assert silicon.sram_mm2 == pytest.approx((tables + others) * 0.027 / 0.65 * 1e-6)
    assert silicon.mm2 == silicon.sram_mm2 + silicon.logic_mm2


def test_single_port_banks_take_half_the_table_area_and_more_gates():
    two, one = (nfp_silicon(nfp_for(FIELD, bank_ports=ports), FIELD) for ports in (2, 1))
    assert one.sram_mm2 == pytest.approx(two.sram_mm2 / 2, rel=0.02)
    assert one.logic_mm2 > two.logic_mm2


def test_energy_of_a_point_is_power_over_points():
    """What points take in a second is the power of a processor that is never idle: reads, and logic every clock."""
    nfp = nfp_for(FIELD)
    silicon, clk = nfp_silicon(nfp, FIELD), nfp_rate(FIELD, nfp).clk_per_point
    points_per_s = 1e9 / clk
    assert silicon.watts(clk, 1e9) == pytest.approx(silicon.nj_per_point(clk) * 1e-9 * points_per_s)
    reads_w = 16 * 8 * 2 * 8 * 0.6e-12 * 0.12 * points_per_s  # levels, corners, features, bits
    assert silicon.watts(clk, 1e9) == pytest.approx(reads_w + silicon.logic_pj_per_clk * 1e-12 * 1e9)


def test_fewer_level_engines_serve_several_levels_each():
    whole, half = (nfp_for(FIELD, level_parallel=size) for size in (16, 8))
    assert half.encoding.levels_per_engine == 2
    assert half.encoding.table_rows == pytest.approx(2 * whole.encoding.table_rows, rel=0.1)
    slow, fast = nfp_rate(FIELD, half), nfp_rate(FIELD, whole)
    assert slow.encoding_clk_per_point == pytest.approx(2 * fast.encoding_clk_per_point, rel=0.02)
    assert slow.table_bytes == half.encoding.table_rows * 2


@pytest.fixture(scope="module")
def points():
    space = sweep(level_parallel=[4, 16], arrays=[16, 64], bank_ports=[1, 2], clocks_ghz=[0.5, 1.0], n_nfps=[1, 64])
    assert (space.left_out, space.notes) == (0, ())
    return space.points


def test_every_combination_is_there_once(points):
    keys = {(p.level_parallel, p.array, p.fission, p.bank_ports, p.clock_ghz, p.n_nfp) for p in points}
    assert len(keys) == len(points) == 2 * 2 * 2 * 2 * 2 * 2


def test_rates_and_areas_follow_from_the_models(points):
    for point in points:
        computed = point.n_nfp * point.clock_ghz / point.clk_per_point
        if point.limiter == "memory":
            assert point.gpoints_per_s < computed
        else:
            assert point.gpoints_per_s == pytest.approx(computed)
    by_key = {(p.level_parallel, p.array, p.fission, p.bank_ports, p.clock_ghz, p.n_nfp): p for p in points}
    plain, split = by_key[16, 64, False, 2, 1.0, 1], by_key[16, 64, True, 2, 1.0, 1]
    assert plain.clk_per_point == pytest.approx(5.0, abs=0.05) and plain.limiter == "mlp"
    assert split.clk_per_point < plain.clk_per_point
    few = by_key[4, 64, True, 2, 1.0, 1]
    assert few.limiter == "encoding" and few.clk_per_point == pytest.approx(4.0, rel=0.03)
    slow = by_key[16, 64, False, 2, 0.5, 64]
    assert slow.gpoints_per_s == pytest.approx(32 * plain.gpoints_per_s) and slow.mm2 == pytest.approx(64 * plain.mm2)
    small = by_key[16, 16, False, 2, 1.0, 1]
    assert small.mm2 < plain.mm2 and small.clk_per_point > 7 * plain.clk_per_point


def test_an_array_that_splits_is_larger(points):
    """And only by its logic: the same configured bits."""
    by_key = {(p.level_parallel, p.array, p.fission, p.bank_ports, p.clock_ghz, p.n_nfp): p for p in points}
    for point in (point for point in points if point.fission):
        whole = by_key[point.level_parallel, point.array, False, point.bank_ports, point.clock_ghz, point.n_nfp]
        assert point.mm2 > whole.mm2


def test_the_front_is_what_nothing_beats(points):
    front = [point for point in points if point.pareto]
    assert 4 <= len(front) < len(points)
    for point in points:
        better = [
            other
            for other in points
            if other.clock_ghz == point.clock_ghz
            and other.mm2 <= point.mm2
            and other.gpoints_per_s >= point.gpoints_per_s
            and (other.mm2, other.gpoints_per_s) != (point.mm2, point.gpoints_per_s)
        ]
        assert point.pareto == (not better), point


def test_power_is_that_of_the_points_computed(points):
    for point in points:
        nfp = nfp_for(FIELD, level_parallel=point.level_parallel, bank_ports=point.bank_ports)
        mlp = replace(nfp.mlp, rows=point.array, cols=point.array, fission=point.fission)
        nj = nfp_silicon(replace(nfp, mlp=mlp), FIELD).nj_per_point(point.clk_per_point)
        assert point.watts == pytest.approx(point.gpoints_per_s * nj, rel=1e-6)


@pytest.mark.parametrize("app", ["nerf", "gia"])
def test_level_engines_beyond_the_levels_are_left_out(app):
    """Two levels keep two engines busy: the choice of 4, 8 or 16 is one cluster, not three, and not a refusal."""
    space = sweep(app=app, encoding="lowres", n_nfps=[1, 8], arrays=[64], fission=[False], bank_ports=[2])
    assert [(p.level_parallel, p.n_nfp) for p in space.points] == [(2, 1), (2, 8)]
    assert space.left_out == 2 * 3 - 2
    assert space.notes == (
        f"level_parallel 4, 8, 16 is taken as 2: the 2 levels of {app} lowres keep no more engines busy.",
    )
    field = FIELDS[f"{app}_lowres"]
    assert space.points[0].clk_per_point == nfp_rate(field, nfp_for(field)).clk_per_point


def test_engines_of_eight_levels_are_at_most_eight():
    space = sweep(encoding="densegrid", n_nfps=[1], arrays=[64], fission=[False], bank_ports=[2])
    assert [point.level_parallel for point in space.points] == [4, 8]
    assert space.left_out == 1 and "level_parallel 16 is taken as 8" in space.notes[0]


def test_what_cannot_be_built_is_left_out_until_nothing_is(monkeypatch):
    """Two of four processors are refused, then all of them."""
    case = {"level_parallel": [16], "arrays": [16, 64], "bank_ports": [1, 2], "fission": [False], "n_nfps": [1, 8, 64]}

    whole = sweep_module._nfp

    def build(field, parallel, array, *others):
        if array in too_large:
            raise InputError(f"rows must be fewer, not {array}")
        return whole(field, parallel, array, *others)

    monkeypatch.setattr(sweep_module, "_nfp", build)
    too_large = {64}
    space = sweep(**case)
    assert {point.array for point in space.points} == {16} and len(space.points) == space.left_out == 6
    assert space.notes == ("2 of 4 processors cannot be built: rows must be fewer, not 64.",)
    too_large = {16, 64}
    with pytest.raises(InputError, match=r"^rows must be fewer, not 16$"):
        sweep(**case)


def test_wrong_design_points_are_refused():
    for changes, sentence in (
        ({"app": "vr"}, "app must be one of nerf, nsdf, gia, nvr, not 'vr'"),
        ({"level_parallel": [3]}, "level_parallel must be one of 1, 2, 4, 8, 16, not 3"),
        ({"arrays": [16, 10]}, "rows must be a multiple of 4 from 4 to 128, not 10"),
        ({"bank_ports": [4]}, "bank_ports must be one of 1, 2, not 4"),
        ({"clocks_ghz": [0.0]}, "clock_ghz must be a number from 0.01 to 10, not 0.0"),
        ({"clocks_ghz": [1.0, 1e30]}, "clock_ghz must be a number from 0.01 to 10, not 1e+30"),
        ({"clocks_ghz": [float("nan")]}, "clock_ghz must be a number from 0.01 to 10, not nan"),
        ({"n_nfps": [0]}, "n_nfp must be an integer from 1 to 64, not 0"),
    ):
        with pytest.raises(InputError) as refused:
            sweep(**changes)
        assert str(refused.value) == sentence
