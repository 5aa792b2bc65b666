"""Equal instances as loops: the same values in the same clocks as the modules themselves."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.systolic_array import SystolicArray
from rtl.verilog import to_verilog
from sim.cosim.lanes import vectorise
from sim.cosim.payload import pack_payloads
from sim.cosim.simulator import RtlSimulator

LINKS = 9


class Link(Component):
    """Registers of every sort: plain, enabled, reset, and a ring of two that trade their values."""

    def __init__(self) -> None:
        super().__init__({"en": In(1), "i": In(8), "o": Out(8), "count": Out(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(8, reset_less=True)
        left, right = Signal(8, init=3), Signal(8, init=200)
        m.d.sync += [left.eq(right + self.i), right.eq(left), self.o.eq(held ^ left)]
        with m.If(self.en):
            m.d.sync += [held.eq(Mux(self.i[0], self.i, right)), self.count.eq(self.count + self.i[1])]
        return m


class Chain(Component):
    """Links one behind the other, enabled while a word is taken; every one's count is seen outside."""

    def __init__(self) -> None:
        self.result = data.StructLayout({"o": 8, **{f"count_{n}": 5 for n in range(LINKS)}})
        word = stream.Signature(data.StructLayout({"i": 8}))
        super().__init__({"words": In(word), "results": Out(stream.Signature(self.result))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        before, taken = self.words.payload.i, self.words.valid & self.words.ready
        m.d.comb += self.words.ready.eq(self.results.ready)
        m.d.sync += self.results.valid.eq(taken | self.results.valid & ~self.results.ready)
        for number in range(LINKS):
            m.submodules[f"link_{number}"] = link = Link()
            m.d.comb += [link.en.eq(taken), link.i.eq(before)]
            before = link.o
            m.d.comb += self.results.payload[f"count_{number}"].eq(link.count)
        m.d.comb += self.results.payload.o.eq(before)
        return m


@pytest.mark.cosim
def test_values_and_clocks_are_those_of_the_modules(tmp_path: Path, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 256, 300)
    layout = data.StructLayout({"i": 8})
    runs = []
    for waves in (None, tmp_path / "waves.vcd"):  # builds for waves keep every register
        with RtlSimulator(Chain(), "chain", waves=waves, seed=seed) as simulator:
            payloads = pack_payloads(layout, {"i": words})
            runs.append(
                simulator.run({"words": payloads}, {"results": len(words)}, max_cycles=5000, idle=0.3, backpressure=0.3)
            )
    loops, modules = runs
    assert "lanes_0" in vectorise(to_verilog(Chain(), "chain"))
    assert len(np.unique(loops.outputs["results"])) > 100
    np.testing.assert_array_equal(loops.outputs["results"], modules.outputs["results"])
    np.testing.assert_array_equal(loops.taken["results"], modules.taken["results"])


def test_the_rows_of_an_array_become_loops() -> None:
    """All rows but the first, which has no sums above it: no module of theirs is left, and one array a register."""
    config = MlpEngineConfig(rows=16, cols=4, max_width=16)
    text = to_verilog(SystolicArray(config), "systolic_array")
    loops = vectorise(text)
    assert text.count("row_") > loops.count("row_")
    assert "systolic_array.row_1 " in text and "systolic_array.row_1 " not in loops
    assert "systolic_array.row_0 " in loops
    assert loops.count("_product_2 [0:15];") == 1
    assert len(loops) < len(text) / 2


def test_what_has_no_equal_instances_stays_as_it_is() -> None:
    text = to_verilog(SystolicArray(MlpEngineConfig(rows=4, cols=4, max_width=4)), "systolic_array")
    assert vectorise(text) == text
