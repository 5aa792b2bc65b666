"""What a GPU's bits cost: the energy proxy by hand."""

import pytest

from fpga.exactness import blocks, energy_pj, engines


def test_energy_is_the_sum_of_the_operations() -> None:
    table = 0.6 * 8 * 2 * 8  # eight corners of two bytes, pJ a bit
    products = 3 * 24 * 24 + 8 * 9 * 9 + 4 * 17 * 9 + 2 * 25 * 9
    sums = 8 * (9 + 18) + 4 * (17 + 26) + 2 * (25 + 34)
    int8 = energy_pj("int8")
    assert int8["table"] == pytest.approx(table)
    assert int8["lookup"] == pytest.approx(table + products * 3.1 / 1024 + sums * 0.1 / 32)
    assert int8["mac"] == pytest.approx(64 * 3.1 / 1024 + 0.1)
    fp16 = energy_pj("fp16")
    assert fp16["table"] == pytest.approx(2 * table)
    assert fp16["lookup"] == pytest.approx(2 * table + 3 * (3.7 + 0.9) + 3 * 0.9 + 12 * 3.7 + 16 * 1.5)
    assert fp16["mac"] == pytest.approx(1.5)
    for energy in (int8, fp16):
        assert energy["nerf"] == pytest.approx(16 * energy["lookup"] + 9408 * energy["mac"])


def test_what_is_measured_has_names_of_its_own() -> None:
    names = [name for name, _ in (*engines(), *blocks())]
    assert len(set(names)) == len(names) == 11
