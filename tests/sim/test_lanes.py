"""Equal registers as loops: the same values in the same clocks as the registers themselves."""

import re
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.skew import Skew
from rtl.mlp.systolic_array import SystolicArray
from rtl.verilog import to_verilog
from sim.cosim.lanes import vectorise
from sim.cosim.payload import pack_payloads
from sim.cosim.simulator import Block, RtlSimulator

LINKS = 40
ELEMENTS = 12
WORD = data.StructLayout({"i": 8, "clear": 1})


class Link(Component):
    """Registers of every sort: plain, enabled, reset, signed, written as a word, and a ring of two."""

    def __init__(self, number: int, faulty: bool) -> None:
        self.number, self.faulty = number, faulty
        super().__init__({"en": In(1), "w_en": In(1), "i": In(8), "o": Out(8), "count": Out(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(8, reset_less=True)
        kept = Signal(8, reset_less=True)
        left = Signal(8, init=3)
        right = Signal(8, init=200)
        product = Signal(16)
        m.d.sync += [
            left.eq(right + self.i),
            right.eq(left + kept),
            product.eq(held.as_signed() * left.as_signed()),
            self.o.eq(held ^ left ^ product[4:12] + self.faulty),
        ]
        with m.If(self.en):
            m.d.sync += [held.eq(Mux(self.i[0], self.i + right, right)), self.count.eq(self.count + self.i[1])]
        with m.If(self.w_en):
            m.d.sync += kept.eq(self.i if self.number % 3 else ~self.i)
        return m


class Chain(Component):
    """Links one behind the other, enabled while a word is taken, cleared by a word; every one's count is seen outside.

    A skew beside them delays the first links' outputs. With ``faulty`` link 17 computes something else.
    """

    def __init__(self, *, faulty: bool = False) -> None:
        self.faulty = faulty
        self.result = data.StructLayout(
            {"o": 8, **{f"count_{n}": 5 for n in range(LINKS)}, **{f"late_{n}": 8 for n in range(ELEMENTS)}}
        )
        results = stream.Signature(self.result)
        super().__init__({"words": In(stream.Signature(WORD)), "results": Out(results)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, taken = self.words.payload, self.words.valid & self.words.ready
        before = word.i
        m.d.comb += self.words.ready.eq(self.results.ready)
        m.d.sync += self.results.valid.eq(taken | self.results.valid & ~self.results.ready)
        m.submodules.skew = skew = Skew(8, ELEMENTS)
        for number in range(LINKS):
            link = Link(number, self.faulty and number == 17)
            m.submodules[f"link_{number}"] = ResetInserter(taken & word.clear & (number % 2 == 0))(link)
            m.d.comb += [link.en.eq(taken), link.w_en.eq(word.i[2:] == number), link.i.eq(before)]
            before = link.o
            m.d.comb += self.results.payload[f"count_{number}"].eq(link.count)
            if number < ELEMENTS:
                m.d.comb += [skew.i[number].eq(link.o), self.results.payload[f"late_{number}"].eq(skew.o[number])]
        m.d.comb += self.results.payload.o.eq(before)
        return m


def run(chain: Chain, seed: int, waves: Path | None) -> Block:
    rng = np.random.default_rng(seed)
    words = pack_payloads(WORD, {"i": rng.integers(0, 256, 400), "clear": rng.integers(0, 16, 400) == 0})
    with RtlSimulator(chain, "chain", waves=waves, seed=seed) as simulator:
        return simulator.run({"words": words}, {"results": 400}, max_cycles=9000, idle=0.3, backpressure=0.3)


@pytest.mark.cosim
@pytest.mark.parametrize("faulty", [False, True], ids=["sound", "faulty"])
def test_values_and_clocks_are_those_of_the_registers(tmp_path: Path, seed: int, faulty: bool) -> None:
    """Builds for waves keep every register. A link with a fault is as faulty in the loops."""
    loops, registers = (run(Chain(faulty=faulty), seed, waves) for waves in (None, tmp_path / "waves.vcd"))
    assert len(np.unique(loops.outputs["results"])) > 100
    np.testing.assert_array_equal(loops.outputs["results"], registers.outputs["results"])
    np.testing.assert_array_equal(loops.taken["results"], registers.taken["results"])
    assert loops.simulated_hz > 0
    if faulty:
        sound = run(Chain(), seed, None)
        assert not np.array_equal(sound.outputs["results"], loops.outputs["results"])


def test_every_register_of_the_links_becomes_an_entry() -> None:
    text = to_verilog(Chain(), "chain")
    loops = vectorise(text)
    for name in ("left", "right", "held", "kept", "product"):
        assert re.search(rf"reg .*\b{name}\b", text)
        # but for the first and the last link, whose neighbours are others
        assert len(re.findall(rf"^  reg .*link_\d+\.{name} ", loops, re.MULTILINE)) <= 2


def test_a_link_with_a_fault_has_an_expression_of_its_own() -> None:
    sound, faulty = (vectorise(to_verilog(Chain(faulty=faulty), "chain")) for faulty in (False, True))
    assert r"link_17.o  <=" not in sound
    assert r"link_17.o  <=" in faulty


@pytest.mark.parametrize("fission", [False, True])
def test_an_array_becomes_a_few_loops(fission: bool) -> None:
    config = MlpEngineConfig(rows=16, cols=16, max_width=16, nano_batch=256, fission=fission)
    text = to_verilog(SystolicArray(config), "systolic_array")
    loops = vectorise(text)
    assert len(loops) < len(text) / 4
    for name in ("product", "active", "shadow"):  # all 256 of them are entries
        assert re.search(rf"reg .*\b{name}_5\b", text)
        assert not re.search(rf"reg .*row_\d+\.{name}_", loops)
    assert loops.count("lanes_index < 256;") > 5


def test_what_has_few_equal_registers_stays_as_it_is() -> None:
    text = to_verilog(SystolicArray(MlpEngineConfig(rows=4, cols=4, max_width=4)), "systolic_array")
    assert vectorise(text) == text
