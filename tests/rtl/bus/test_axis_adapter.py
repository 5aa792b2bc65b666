"""Every field of every stream finds its place in TDATA and back, by the packing that hosts use."""

import random

import numpy as np
import pytest
from amaranth.lib import data
from amaranth.sim import Simulator

from arch.axis_format import AxisField, AxisFormat, load_format, points_format, results_format
from arch.encoding_engine import EncodingEngineConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NfpConfig
from rtl.bus.axis_adapter import FromAxis, ToAxis
from rtl.streams import LoadLayout, PointLayout, VectorLayout

CONFIG = NfpConfig(
    encoding=EncodingEngineConfig(n_levels=4, table_rows=64, arithmetic="int16"),
    mlp=MlpEngineConfig(rows=8, cols=8, max_width=32, arithmetic="int16", side_first=8, side_inputs=12),
)


def _int(word: np.ndarray) -> int:
    return int.from_bytes(word.tobytes(), "little")


def _take(layout, words: AxisFormat, values: dict[str, np.ndarray], keep: list[int], last: list[int]) -> None:
    dut, packed = FromAxis(layout, words), words.pack(values)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for number, word in enumerate(packed):
            for name, value in (("tdata", _int(word)), ("tkeep", keep[number]), ("tlast", last[number]), ("tvalid", 1)):
                ctx.set(getattr(dut.axis, name), value)
            assert ctx.get(dut.axis.tready) == 1
            assert ctx.get(dut.keep_error) == int(keep[number] != (1 << words.data_bytes) - 1)
            await ctx.tick()
            payload = ctx.get(dut.o.payload)
            assert ctx.get(dut.o.valid) == 1
            for name, column in values.items():
                found = payload[name]
                elements = [found[index] for index in range(column.shape[1])] if column.ndim == 2 else found
                assert elements == column[number].tolist(), name
            if "last" in layout.members:
                assert payload.last == last[number]
        ctx.set(dut.axis.tvalid, 0)
        assert ctx.get(dut.keep_error) == 0

    _simulate(dut, bench)


def _simulate(dut, bench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def test_points_and_load_words_arrive(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = points_format(CONFIG)
    whole, last = [(1 << points.data_bytes) - 1] * 20, rng.integers(0, 2, 20).tolist()
    keep = whole[:10] + [value ^ 1 << place for place, value in enumerate(whole[10:], 3)]
    values = {"position": rng.integers(0, 1 << 24, (20, 3)), "side": rng.integers(-(1 << 15), 1 << 15, (20, 12))}
    _take(PointLayout(3, 12, 16), points, values, keep, last)
    values = {
        "data": rng.integers(0, 1 << 64, 20, dtype=np.uint64),
        "address": rng.integers(0, 1 << 32, 20),
        "target": rng.integers(0, 16, 20),
    }
    _take(LoadLayout(), load_format(), values, [(1 << 16) - 1] * 20, last)


def test_results_leave(seed: int) -> None:
    rng, words = np.random.default_rng(seed), results_format(CONFIG)
    values = rng.integers(-(1 << 15), 1 << 15, (20, 4))
    packed, last = words.pack({"values": values}), rng.integers(0, 2, 20).tolist()
    dut = ToAxis(VectorLayout(4, 16), words)

    async def bench(ctx):
        ctx.set(dut.axis.tready, 1)
        for number, word in enumerate(packed):
            ctx.set(dut.i.payload, {"values": values[number].tolist(), "last": last[number]})
            ctx.set(dut.i.valid, 1)
            assert ctx.get(dut.i.ready) == 1
            await ctx.tick()
            assert ctx.get(dut.axis.tvalid) == 1
            assert ctx.get(dut.axis.tdata) == _int(word)
            assert ctx.get(dut.axis.tkeep) == (1 << words.data_bytes) - 1
            assert ctx.get(dut.axis.tlast) == last[number]

    _simulate(dut, bench)


def test_several_words_a_transfer(seed: int) -> None:
    """All there is to say about four words with TKEEP and TLAST, both ways; two bytes a word."""
    words = AxisFormat(fields=(AxisField(name="values", count=2, bits=8, first_byte=0, stride=1),))
    layout = data.StructLayout({"values": data.ArrayLayout(8, 8), "last": 1, "n": 2, "error": 4})
    taker, giver, rng = FromAxis(layout, words, 4), ToAxis(layout, words, 4), random.Random(seed)
    assert (len(taker.axis.tdata), len(giver.axis.tkeep), len(giver.axis.tuser)) == (64, 8, 4)

    async def take(ctx):
        ctx.set(taker.o.ready, 1)
        ctx.set(taker.axis.tvalid, 1)
        for keep, last in [(keep, last) for keep in range(256) for last in (0, 1)]:
            tdata = rng.getrandbits(64)
            for name, value in (("tdata", tdata), ("tkeep", keep), ("tlast", last)):
                ctx.set(getattr(taker.axis, name), value)
            whole = (3, 15, 63, 255).index(keep) if keep in {3, 15, 63, 255} else None
            assert ctx.get(taker.keep_error) == int(whole is None if last else keep != 255)
            await ctx.tick()
            payload = ctx.get(taker.o.payload)
            assert list(payload.values) == list(tdata.to_bytes(8, "little")) and payload.last == last
            full = next((word for word in range(4) if keep >> 2 * word & 3 != 3), 4)
            assert payload.n == (max(1, full) - 1 if last else 3), (keep, last)

    async def give(ctx):
        ctx.set(giver.axis.tready, 1)
        ctx.set(giver.i.valid, 1)
        for n in range(4):
            values, error = list(rng.randbytes(8)), rng.getrandbits(4)
            ctx.set(giver.i.payload, {"values": values, "last": n != 3, "n": n, "error": error})
            await ctx.tick()
            assert ctx.get(giver.axis.tdata) == int.from_bytes(bytes(values), "little")
            assert ctx.get(giver.axis.tkeep) == (1 << 2 * (n + 1)) - 1
            assert (ctx.get(giver.axis.tlast), ctx.get(giver.axis.tuser)) == (int(n != 3), error)

    _simulate(taker, take)
    _simulate(giver, give)


def test_a_field_of_another_width_is_refused() -> None:
    words = AxisFormat(fields=(AxisField(name="values", count=4, bits=8, first_byte=0, stride=1, signed=True),))
    for adapter in (ToAxis, FromAxis):
        with pytest.raises(TypeError, match=r"^Field values must be 8 bits wide, not 16$"):
            adapter(VectorLayout(4, 16), words)
