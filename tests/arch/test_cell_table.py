"""Counted gates: the committed table, and arrays of sizes that were not synthesised."""

import tomllib

import pytest

from arch.cell_table import GATES, CellBuild, CellTable, load_cells
from arch.errors import InputError


def build(rows, cols, per, fission=False, engine="mlp"):
    gates = dict.fromkeys(GATES, 0) | {"NAND": per[0] + per[1] * rows + per[2] * cols + per[3] * rows * cols}
    name = f"{engine}_{rows}x{cols}"
    return CellBuild(name=name, engine=engine, rows=rows, cols=cols, fission=fission, gates=gates, memory_bits=7)


def test_any_size_follows_from_three_engines_and_two_rows():
    engines = tuple(build(r, c, (100, 7, 11, 3)) for r, c in ((4, 4), (8, 4), (4, 8)))
    rows = tuple(build(1, cols, (50, 0, 3, 0), engine="row") for cols in (4, 8))
    table = CellTable(builds=engines + rows)
    assert table.mlp_engine(64, 32, False)["NAND"] == 100 + 7 * 64 + 11 * 32 + 3 * 64 * 32
    assert table.mlp_engine(8, 8, False)["NAND"] == 100 + 56 + 88 + 192
    with pytest.raises(InputError, match=r"^the cell table must hold a build with engine mlp, rows 4, cols 4, "):
        table.mlp_engine(8, 8, True)


def test_a_table_is_written_and_read_back():
    level = CellBuild(name="level", engine="level", ports=2, gates=dict.fromkeys(GATES, 5), memory_bits=16)
    table = CellTable(builds=(level, build(4, 8, (1, 2, 3, 4), fission=True)))
    read = tomllib.loads(table.to_toml())
    assert CellTable(builds=tuple(CellBuild(name=name, **entry) for name, entry in read.items())) == table


def test_wrong_builds_are_refused():
    with pytest.raises(InputError, match=r"^engine of a build must be one of level, mlp, row, not 'gpu'$"):
        CellBuild(name="x", engine="gpu")
    with pytest.raises(InputError, match=r"^gate of x must be one of AND, NAND, .*, not 'LUT4'$"):
        CellBuild(name="x", engine="mlp", gates={"LUT4": 1})
    with pytest.raises(InputError, match=r"^AND of x must be an integer from 0 to 1099511627776, not -1$"):
        CellBuild(name="x", engine="mlp", gates={"AND": -1})


def test_the_committed_table_is_plausible():
    table = load_cells()
    for ports in (1, 2):
        gates = table.level_engine(ports)
        assert 20_000 < sum(gates.values()) < 120_000
        assert gates["DFF_P"] > 2000
    assert sum(table.level_engine(1).values()) > sum(table.level_engine(2).values())  # queues
    large, small = (sum(table.mlp_engine(size, size, False).values()) for size in (64, 32))
    each = (large - small) / (64**2 - 32**2)
    assert 400 < each < 1500  # a product of 8 by 8 bits, an accumulator and the registers of an element
    (level,) = (entry for entry in table.builds if entry.ports == 2)
    assert level.memory_bits == pytest.approx((1 << 19) * 16, rel=0.01)
