"""Coroutines that drive the MLP engine's Verilog: bits against the reference, clocks against the cycle model."""

import json
import os
from random import Random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout

from arch.checkpoint import QuantizedMlp
from arch.load import ADDRESS_BITS, TARGET_BITS
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from reference.mlp import mlp_integer
from sim.engine.mlp import MlpClock

CONFIG = MlpEngineConfig(**json.loads(os.environ["NGPC_CONFIG"]))
NETWORKS = [MlpConfig(**network) for network in json.loads(os.environ["NGPC_NETWORKS"])]
SEED = int(os.environ["NGPC_SEED"])
MAX_CYCLES = 200_000
STALL = 0.4


def quantized(config: MlpConfig, rng: np.random.Generator) -> QuantizedMlp:
    """A random network whose activations fill the range of a value and saturate now and then."""
    multipliers, shifts = [], []
    spread = 2.0**CONFIG.profile.value_bits / 12**0.5
    for layer in config.layers:
        sums = spread * (2.0**CONFIG.profile.weight_bits / 12**0.5) * layer.n_in**0.5
        shift = int(rng.integers(12, 40))
        while not 1 <= (multiplier := round(2.0**shift * spread / sums)) < 1 << CONFIG.profile.multiplier_bits:
            shift -= 1 if multiplier >= 1 else -1
        multipliers.append(multiplier)
        shifts.append(shift)
    weights = tuple(rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in config.layers)
    return QuantizedMlp(
        config=config, weights=weights, multipliers=tuple(multipliers), shifts=tuple(shifts), output_scale=1.0
    )


class Source:
    """Drive a stream from Python, with or without pauses; record the clock of every transfer."""

    def __init__(self, bench: "Bench", name: str, pause: Random | None) -> None:
        self.bench, self.pause, self.clocks = bench, pause, []
        self.payload, self.valid, self.ready = (
            getattr(bench.dut, f"{name}__{part}") for part in ("payload", "valid", "ready")
        )
        self.valid.value = 0

    async def send(self, payloads: list[int]) -> None:
        for payload in payloads:
            while self.pause is not None and self.pause.random() < STALL:
                await RisingEdge(self.bench.dut.clk)
            self.payload.value = payload
            self.valid.value = 1
            taken = False
            while not taken:
                await FallingEdge(self.bench.dut.clk)
                taken = bool(self.ready.value)
                clock = self.bench.clock
                await RisingEdge(self.bench.dut.clk)
            self.valid.value = 0
            self.clocks.append(clock)


class Sink:
    """Take a stream into Python, with or without pauses; check that what is offered stays until it is taken."""

    def __init__(self, bench: "Bench", name: str, pause: Random | None) -> None:
        self.bench, self.pause, self.clocks, self.taken = bench, pause, [], []
        self.payload, self.valid, self.ready = (
            getattr(bench.dut, f"{name}__{part}") for part in ("payload", "valid", "ready")
        )
        self.ready.value = 0

    async def run(self) -> None:
        held = None
        while True:
            ready = self.pause is None or self.pause.random() >= STALL
            self.ready.value = int(ready)
            await FallingEdge(self.bench.dut.clk)
            offered = int(self.payload.value) if self.valid.value else None
            assert held is None or offered == held, "an offered payload must stay until it is taken"
            if offered is not None and ready:
                self.taken.append(offered)
                self.clocks.append(self.bench.clock)
            held = None if ready else offered
            await RisingEdge(self.bench.dut.clk)


class Bench:
    """The engine with its three streams, out of reset."""

    def __init__(self, dut: object, *, pause_source: bool = False, pause_sink: bool = False) -> None:
        self.dut = dut
        self.clock = 0
        self.rng = np.random.default_rng(SEED)
        self.load = Source(self, "load", Random(SEED) if pause_source else None)
        self.inputs = Source(self, "inputs", Random(SEED + 1) if pause_source else None)
        self.outputs = Sink(self, "outputs", Random(SEED + 2) if pause_sink else None)

    async def start(self) -> None:
        cocotb.start_soon(Clock(self.dut.clk, 10, "ns").start())
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        cocotb.start_soon(self._count())
        cocotb.start_soon(self.outputs.run())

    async def _count(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.clock += 1

    async def load_network(self, network: QuantizedMlp) -> None:
        image = mlp_image(network, CONFIG)
        words = zip(image.target.tolist(), image.address.tolist(), image.data.tolist(), strict=True)
        await self.load.send(
            [target | address << TARGET_BITS | data << TARGET_BITS + ADDRESS_BITS for target, address, data in words]
        )

    def payloads(self, vectors: np.ndarray) -> list[int]:
        """Input payloads; elements past the network's inputs carry noise that must not matter."""
        bits = CONFIG.profile.value_bits
        value = CONFIG.profile.value
        whole = self.rng.integers(value.minimum, value.maximum, (len(vectors), CONFIG.max_width), endpoint=True)
        whole[:, : vectors.shape[1]] = vectors
        raw = whole.astype(f"<i{bits // 8}")
        last = 1 << CONFIG.max_width * bits
        return [
            int.from_bytes(row.tobytes(), "little") | (last if number == len(raw) - 1 else 0)
            for number, row in enumerate(raw)
        ]

    async def run(self, network: QuantizedMlp, sizes: list[int]) -> None:
        """Send runs of ``sizes`` vectors back to back; check every bit, ``last`` and the padding of the outputs."""
        n_in, n_out = network.config.n_input_dims, network.config.n_output_dims
        value = CONFIG.profile.value
        count = sum(sizes)
        vectors = self.rng.integers(value.minimum, value.maximum, (count, n_in), endpoint=True)
        first = len(self.outputs.taken)
        lasts = np.zeros(count, dtype=bool)
        position = 0
        for size in sizes:
            await self.inputs.send(self.payloads(vectors[position : position + size]))
            position += size
            lasts[position - 1] = True
        while len(self.outputs.taken) < first + count:
            await RisingEdge(self.dut.clk)
            assert self.clock < MAX_CYCLES
        bits = CONFIG.profile.value_bits
        size = CONFIG.max_width * bits // 8
        taken = self.outputs.taken[first:]
        data = b"".join((payload & ((1 << size * 8) - 1)).to_bytes(size, "little") for payload in taken)
        results = np.frombuffer(data, dtype=f"<i{bits // 8}").reshape(count, CONFIG.max_width)
        expected = mlp_integer(network, vectors, CONFIG.profile).numpy()
        np.testing.assert_array_equal(results[:, :n_out], expected)
        assert not results[:, n_out:].any(), "elements past the network's outputs must be 0"
        np.testing.assert_array_equal([payload >> size * 8 for payload in taken], lasts)
        limits = np.abs(expected.astype(int)) >= value.maximum
        assert np.abs(expected.astype(int)).max() > 0 and not limits.all(), "the network must not be all saturated"


def sizes() -> list[list[int]]:
    """Runs sent back to back: whole and cut nano-batches, the shortest run, single vectors in a row."""
    n = CONFIG.nano_batch
    return [[n], [2 * n + 3, 1, 1, n - 1], [1]]


@cocotb.test()
async def transfers_match_the_cycle_model(dut: object) -> None:
    """Always-valid source, always-ready sink: the clock of every transfer is the model's; networks are reloaded."""
    bench = Bench(dut)
    await bench.start()
    for config in NETWORKS:
        network = quantized(config, bench.rng)
        await with_timeout(bench.load_network(network), MAX_CYCLES * 10, "ns")
        for group in sizes():
            sent, taken = len(bench.inputs.clocks), len(bench.outputs.clocks)
            await with_timeout(bench.run(network, group), MAX_CYCLES * 10, "ns")
            model = MlpClock(config, CONFIG)
            timing = [model.run(size) for size in group]
            # Runs are sent one behind the other: a later run's own clock 0 is that of the first.
            accepted = np.concatenate([each.accepted for each in timing])
            outputs = np.concatenate([each.outputs for each in timing])
            base = bench.inputs.clocks[sent]
            np.testing.assert_array_equal(np.array(bench.inputs.clocks[sent:]) - base, accepted)
            np.testing.assert_array_equal(np.array(bench.outputs.clocks[taken:]) - base, outputs)


@cocotb.test()
@cocotb.parametrize(pause_source=[False, True], pause_sink=[False, True])
async def bits_match_the_reference(dut: object, pause_source: bool, pause_sink: bool) -> None:
    """Random pauses on both sides change no bit."""
    bench = Bench(dut, pause_source=pause_source, pause_sink=pause_sink)
    await bench.start()
    network = quantized(NETWORKS[0], bench.rng)
    await with_timeout(bench.load_network(network), MAX_CYCLES * 10, "ns")
    for group in sizes():
        await with_timeout(bench.run(network, group), MAX_CYCLES * 10, "ns")


@cocotb.test()
async def offered_vectors_match_the_cycle_model(dut: object) -> None:
    """A source that pauses: the model follows from the clocks at which vectors were offered."""
    bench = Bench(dut, pause_source=True)
    await bench.start()
    network = quantized(NETWORKS[-1], bench.rng)
    await with_timeout(bench.load_network(network), MAX_CYCLES * 10, "ns")
    await with_timeout(bench.run(network, [CONFIG.nano_batch * 3 + 1]), MAX_CYCLES * 10, "ns")
    # the bench pauses by turns with transfers, so what was accepted is also a valid list of offers
    base = bench.inputs.clocks[0]
    accepted = np.array(bench.inputs.clocks) - base
    timing = MlpClock(network.config, CONFIG).run(len(accepted), offered=accepted)
    np.testing.assert_array_equal(timing.accepted, accepted)
    np.testing.assert_array_equal(np.array(bench.outputs.clocks) - base, timing.outputs)


@cocotb.test()
async def loading_waits_for_vectors_in_flight(dut: object) -> None:
    """A network offered while vectors are in flight goes in behind the last result, and changes none of them."""
    bench = Bench(dut)
    await bench.start()
    first = quantized(NETWORKS[0], bench.rng)
    await with_timeout(bench.load_network(first), MAX_CYCLES * 10, "ns")
    running = cocotb.start_soon(bench.run(first, [CONFIG.nano_batch + 1]))
    while not bench.inputs.clocks:
        await RisingEdge(dut.clk)
    words = len(bench.load.clocks)
    second = quantized(NETWORKS[-1], bench.rng)
    await with_timeout(bench.load_network(second), MAX_CYCLES * 10, "ns")
    await with_timeout(running, MAX_CYCLES * 10, "ns")
    assert bench.load.clocks[words] > bench.outputs.clocks[-1]
    await with_timeout(bench.run(second, [2]), MAX_CYCLES * 10, "ns")
