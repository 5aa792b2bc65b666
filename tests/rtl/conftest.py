"""Runs a floating-point block under Verilator on arrays of numbers."""

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.delay_line import DelayLine
from sim.cosim.simulator import RtlSimulator

Draw = Callable[[tuple[int, ...]], np.ndarray]


class OnStreams(wiring.Component):
    """A block with ``en`` between two streams: the inputs side by side, and the output.

    Parameters
    ----------
    block : a component with ``en``, ``LATENCY`` and else inputs and outputs
    """

    def __init__(self, block: wiring.Component) -> None:
        self.block = block
        layouts = [data.StructLayout({name: len(value) for name, value in _ports(block, flow)}) for flow in (In, Out)]
        super().__init__({"i": In(stream.Signature(layouts[0])), "o": Out(stream.Signature(layouts[1]))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.block = block = self.block
        m.submodules.valid = valid = DelayLine(1, clocks=block.LATENCY)
        moves = ~self.o.valid | self.o.ready
        inputs, outputs = (Cat(value for _, value in _ports(block, flow)) for flow in (In, Out))
        m.d.comb += [
            self.i.ready.eq(moves),
            valid.en.eq(moves),
            valid.i.eq(self.i.valid),
            block.en.eq(moves),
            inputs.eq(self.i.payload),
            self.o.valid.eq(valid.o),
            self.o.payload.eq(outputs),
        ]
        return m


def _ports(block: wiring.Component, flow: wiring.Flow) -> list[tuple[str, Value]]:
    members = [name for name, member in block.signature.members.items() if member.flow is flow and name != "en"]
    return [(name, Value.cast(getattr(block, name))) for name in members]


@pytest.fixture
def run_block(seed: int) -> Callable[..., np.ndarray]:
    """Run ``run_block(block, name, *inputs)``: inputs (n,) or (n, lanes), uint16 or uint32, in the order of the ports.

    Returns the outputs side by side, (n, words) uint32, or (n,) if they fit one word.

    Asserts that one set of inputs is taken a clock and that the latency is the block's.
    """

    def run(block: wiring.Component, name: str, *inputs: np.ndarray, stalls: float = 0.0) -> np.ndarray:
        count = len(inputs[0])
        columns = [np.ascontiguousarray(column.reshape(count, -1)) for column in inputs]
        raw = np.concatenate([column.view(np.uint8).reshape(count, -1) for column in columns], axis=1)
        words = np.zeros((count, -(-raw.shape[1] // 4) * 4), dtype=np.uint8)
        words[:, : raw.shape[1]] = raw
        with RtlSimulator(OnStreams(block), name, seed=seed) as simulator:
            block_of_clocks = simulator.run(
                {"i": words.view(np.uint32)},
                {"o": count},
                max_cycles=8 * count + 1000,
                idle=stalls,
                backpressure=stalls,
            )
        if not stalls:
            assert block_of_clocks.cycles == count + block.LATENCY
        outputs = block_of_clocks.outputs["o"]
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    return run


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Numbers drawn from the seed of the run."""
    return np.random.default_rng(seed)


@pytest.fixture
def fp16(rng: np.random.Generator) -> Draw:
    """Draw fp16 bit patterns: any, near 1, and the ends of every range."""
    ends = [0, 1, 2, 0x3FF, 0x400, 0x401, 0x3BFF, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7E00, 0x7FFF]
    return lambda shape: _draw(rng, shape, ends, bits=16, mantissa_bits=10, near=(8, 20))


@pytest.fixture
def fp32(rng: np.random.Generator) -> Draw:
    """Draw fp32 bit patterns: any, near 1, and the ends of every range."""
    ends = [0, 1, 2, 0x7FFFFF, 0x800000, 0x3F000000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x7F7FFFFF, 0x7F800000,
            0x7FC00000]  # fmt: skip
    return lambda shape: _draw(rng, shape, ends, bits=32, mantissa_bits=23, near=(100, 150))


def _draw(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    ends: list[int],
    *,
    bits: int,
    mantissa_bits: int,
    near: tuple[int, int],
) -> np.ndarray:
    kind = {16: np.uint16, 32: np.uint32}[bits]
    sign = rng.integers(0, 2, shape) << (bits - 1)
    anything = rng.integers(0, 1 << bits, shape)
    close = sign | rng.integers(*near, shape) << mantissa_bits | rng.integers(0, 1 << mantissa_bits, shape)
    chance = rng.random(shape)
    drawn = np.where(chance < 0.1, sign | rng.choice(ends, shape), np.where(chance < 0.4, anything, close))
    return drawn.astype(kind)
