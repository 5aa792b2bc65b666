"""The whole engine in Amaranth's simulator, on arrays too small to deserve a Verilator build."""

import dataclasses

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.sim import Simulator

from arch.checkpoint import QuantizedMlp
from arch.load import LoadTarget
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.mlp_image import mlp_image
from arch.mlp_plan import plan_mlp
from reference.mlp import mlp_integer
from rtl.mlp.activation_memory import ActivationMemory
from rtl.mlp.mlp_engine import MlpEngine
from sim.engine.mlp import MlpClock

SQUARE_4 = MlpEngineConfig(rows=4, cols=4, max_width=12, nano_batch=9, max_layers=3, weight_tiles=24)
SQUARE_8 = MlpEngineConfig(rows=8, cols=8, max_width=8, nano_batch=28, max_layers=8, weight_tiles=8)
WIDE = MlpEngineConfig(rows=8, cols=12, max_width=24, nano_batch=33, max_layers=2, weight_tiles=9)
FISSION_4 = MlpEngineConfig(rows=4, cols=4, max_width=8, nano_batch=88, max_layers=3, weight_tiles=12, fission=True)
ODD = MlpEngineConfig(rows=8, cols=12, max_width=20, nano_batch=33, max_layers=2, weight_tiles=12)
ODD_FISSION = MlpEngineConfig(rows=8, cols=16, max_width=12, nano_batch=144, max_layers=3, weight_tiles=9, fission=True)
FISSION_8 = MlpEngineConfig(rows=8, cols=8, max_width=16, nano_batch=112, max_layers=4, weight_tiles=12, fission=True)
TALL = MlpEngineConfig(rows=128, cols=4, max_width=128, nano_batch=4, max_layers=1, weight_tiles=3, arithmetic="int16")
TWO_NETWORKS = MlpEngineConfig(
    rows=8, cols=8, max_width=8, nano_batch=32, max_layers=5, weight_tiles=8, side_first=4, side_inputs=2
)


def network(rng: np.random.Generator, n_in: int, n_neurons: int, n_hidden: int, n_out: int) -> QuantizedMlp:
    config = MlpConfig(n_input_dims=n_in, n_neurons=n_neurons, n_hidden_layers=n_hidden, n_output_dims=n_out)
    layers = config.layers
    return QuantizedMlp(
        config=config,
        weights=tuple(rng.integers(-128, 128, (layer.n_out, layer.n_in)).astype(np.int8) for layer in layers),
        multipliers=tuple(round(2**22 / (74 * layer.n_in**0.5)) for layer in layers),
        shifts=(22,) * len(layers),
        output_scale=1.0,
    )


class Engine:
    """The engine under Amaranth's simulator, with its three streams."""

    def __init__(self, config: MlpEngineConfig) -> None:
        self.config = config
        self.dut = MlpEngine(config)
        self.reset = Signal()
        self.clock = 0
        self.accepted: list[int] = []
        self.clocks: list[int] = []
        self.values: list[list[int]] = []
        self.lasts: list[int] = []

    def run(self, bench, *, max_cycles: int) -> None:
        """Run ``bench(ctx, engine)`` beside the sink and a clock that stops the simulation if it takes too long."""

        async def count(ctx) -> None:
            async for _ in ctx.tick():
                self.clock += 1
                assert self.clock < max_cycles

        async def sink(ctx) -> None:
            outputs = self.dut.outputs
            ctx.set(outputs.ready, 1)
            async for _, _, given, payload in ctx.tick().sample(outputs.valid & outputs.ready, outputs.payload):
                if given:
                    self.values.append([payload.values[index] for index in range(self.config.max_width)])
                    self.lasts.append(payload.last)
                    self.clocks.append(self.clock)

        async def testbench(ctx) -> None:
            await bench(ctx, self)

        simulator = Simulator(ResetInserter(self.reset)(self.dut))
        simulator.add_clock(1e-8)
        simulator.add_process(count)
        simulator.add_testbench(sink, background=True)
        simulator.add_testbench(testbench)
        simulator.run()

    async def word(self, ctx, target: int, address: int, data: int) -> None:
        load = self.dut.load
        ctx.set(load.payload, {"target": int(target), "address": int(address), "data": int(data)})
        ctx.set(load.valid, 1)
        await ctx.tick().until(load.ready)
        ctx.set(load.valid, 0)

    async def load(self, ctx, network: QuantizedMlp | list[QuantizedMlp]) -> None:
        image = mlp_image(network, self.config)
        for target, address, data in zip(image.target, image.address, image.data, strict=True):
            await self.word(ctx, target, address, data)

    async def send(self, ctx, vectors: np.ndarray, *, last: bool = True) -> None:
        inputs = self.dut.inputs
        for number, vector in enumerate(vectors.tolist()):
            ends = last and number == len(vectors) - 1
            ctx.set(inputs.payload, {"values": [*vector, *[-5] * (self.config.max_width - len(vector))], "last": ends})
            ctx.set(inputs.valid, 1)
            await ctx.tick().until(inputs.ready)
            ctx.set(inputs.valid, 0)
            self.accepted.append(self.clock)

    async def drained(self, ctx, count: int) -> None:
        while len(self.values) < count:
            await ctx.tick()


@pytest.mark.parametrize(
    ("config", "shape", "runs"),
    [
        (SQUARE_4, (7, 10, 2, 3), (10, 1)),
        (SQUARE_4, (12, 12, 0, 11), (19, 2)),
        (dataclasses.replace(SQUARE_4, nano_batch=1), (4, 4, 1, 4), (5,)),
        (SQUARE_8, (7, 8, 7, 3), (57, 28)),
        (SQUARE_8, (8, 8, 0, 5), (28 * 3, 3, 28)),
        (WIDE, (17, 24, 1, 10), (40,)),
        (ODD, (18, 20, 1, 13), (40,)),
        (ODD_FISSION, (11, 12, 2, 9), (150, 3)),
        (FISSION_4, (2, 4, 2, 1), (90, 1)),
        (FISSION_8, (12, 7, 2, 3), (115, 1, 7)),
        (dataclasses.replace(FISSION_8, nano_batch=8), (4, 3, 0, 2), (30, 3)),
        (dataclasses.replace(FISSION_8, nano_batch=64), (4, 4, 1, 3), (67,)),
        (SQUARE_8, (1, 1, 7, 1), (3,)),
        (TALL, (125, 1, 0, 9), (1,)),
    ],
    ids=[
        "4x4",
        "4x4 one layer",
        "4x4 nano-batch of 1",
        "8x8 eight layers",
        "8x8 one pass",
        "8x12",
        "8x12, tiles past the width",
        "8x16 split, tiles past the width",
        "4x4 split",
        "8x8 split",
        "8x8 split, short",
        "8x8 in halves and groups",
        "8x8 widths of one",
        "128x4",
    ],
)
def test_bits_and_clocks(config: MlpEngineConfig, shape: tuple, runs: tuple, seed: int) -> None:
    check_bits_and_clocks(config, shape, runs, seed)


def check_bits_and_clocks(config: MlpEngineConfig, shape: tuple, runs: tuple, seed: int) -> None:
    """Every output is the reference's, every transfer in the model's clock; runs follow one another directly."""
    rng = np.random.default_rng(seed)
    mlp = network(rng, *shape)
    value = config.profile.value
    vectors = [rng.integers(value.minimum, value.maximum + 1, (count, shape[0])) for count in runs]

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, mlp)
        for run in vectors:
            await engine.send(ctx, run)
        await engine.drained(ctx, sum(runs))

    engine = Engine(config)
    engine.run(bench, max_cycles=20_000)
    expected = mlp_integer(mlp, np.concatenate(vectors), config.profile).numpy()
    values = np.array(engine.values)
    np.testing.assert_array_equal(values[:, : shape[3]], expected)
    assert not values[:, shape[3] :].any()
    assert np.flatnonzero(engine.lasts).tolist() == (np.cumsum(runs) - 1).tolist()
    model = MlpClock(mlp.config, config)
    timing = [model.run(count) for count in runs]
    base = engine.accepted[0]
    np.testing.assert_array_equal(np.array(engine.accepted) - base, np.concatenate([t.accepted for t in timing]))
    np.testing.assert_array_equal(np.array(engine.clocks) - base, np.concatenate([t.outputs for t in timing]))


class PoisonedMemory(ActivationMemory):
    """Gives wrong values of lanes that are written in the clock of their read."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = ActivationMemory(self.config)
        for name in ("w_en", "w_bank", "w_index", "w_data", "r_en", "r_bank", "r_index"):
            m.d.comb += getattr(inner, name).eq(getattr(self, name))
        same, poison = Signal(), Signal.like(self.w_en)
        m.d.comb += same.eq((self.r_bank == self.w_bank) & (self.r_index == self.w_index))
        with m.If(self.r_en):
            m.d.sync += poison.eq(Mux(same, self.w_en, 0))
        for lane, given in enumerate(inner.r_data):
            m.d.comb += self.r_data[lane].eq(given ^ poison[lane].replicate(len(given)))
        return m


@pytest.mark.parametrize(
    ("config", "shape", "runs"),
    [
        (dataclasses.replace(SQUARE_8, nano_batch=SQUARE_8.min_pass_cycles), (8, 8, 1, 8), (29 * 4,)),
        (dataclasses.replace(FISSION_4, max_width=4, nano_batch=84), (4, 4, 1, 4), (84 * 4,)),
    ],
    ids=["whole", "fission"],
)
def test_nothing_depends_on_reads_of_what_is_written(
    config: MlpEngineConfig, shape: tuple, runs: tuple, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors are offered in every clock: an input bank is refilled right behind the pass that frees it."""
    for module in ("input_buffer", "mlp_engine", "output_buffer"):
        monkeypatch.setattr(f"rtl.mlp.{module}.ActivationMemory", PoisonedMemory)
    check_bits_and_clocks(config, shape, runs, seed)


@pytest.mark.parametrize("fission", [False, True], ids=["whole", "fission"])
def test_two_networks_a_point(fission: bool, seed: int) -> None:
    """nerf's shape, scaled down: a side input joins the first network's outputs, and both networks' outputs leave."""
    config = dataclasses.replace(TWO_NETWORKS, fission=fission, nano_batch=116 if fission else 32)
    rng = np.random.default_rng(seed)
    networks = [network(rng, 4, 8, 1, 2), network(rng, 4, 8, 2, 1)]
    vectors = rng.integers(-128, 128, (2 * config.nano_batch + 5, 6))

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, networks)
        await engine.send(ctx, vectors)
        await engine.drained(ctx, len(vectors))

    engine = Engine(config)
    engine.run(bench, max_cycles=20_000)
    first = mlp_integer(networks[0], vectors[:, :4], config.profile).numpy()
    second = mlp_integer(networks[1], np.concatenate([first, vectors[:, 4:]], axis=1), config.profile).numpy()
    configs = [each.config for each in networks]
    values = np.array(engine.values)[:, list(plan_mlp(configs, config).results)]
    np.testing.assert_array_equal(values, np.concatenate([second, first], axis=1))
    clock = MlpClock(configs, config)
    timing = clock.run(len(vectors))
    np.testing.assert_array_equal(np.array(engine.clocks) - engine.accepted[0], timing.outputs)
    # no bubble between layers, networks or nano-batches: clocks are those in which passes read
    beats = sum(layer.tiles * layer.beats(config.nano_batch) for layer in clock.plan.layers)
    assert np.diff(timing.end[:2]).tolist() == np.diff(timing.start).tolist()[:1] == [beats]


def test_one_pass_network_leaves_no_bubble(seed: int) -> None:
    """The tightest case: nano-batches of ``min_pass_cycles`` and one pass each keep the stream at one a clock."""
    config = dataclasses.replace(SQUARE_8, nano_batch=SQUARE_8.min_pass_cycles)
    rng = np.random.default_rng(seed)
    mlp = network(rng, 8, 8, 0, 8)
    vectors = rng.integers(-128, 128, (4 * config.nano_batch, 8))

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, mlp)
        await engine.send(ctx, vectors)
        await engine.drained(ctx, len(vectors))

    engine = Engine(config)
    engine.run(bench, max_cycles=5_000)
    assert np.diff(engine.clocks).tolist() == [1] * (len(vectors) - 1)


@pytest.mark.parametrize("config", [dataclasses.replace(each, nano_batch=8) for each in (SQUARE_8, FISSION_8)])
def test_results_wait_for_a_closed_sink(config: MlpEngineConfig, seed: int) -> None:
    """Both output banks are full and inputs of a third nano-batch are there: it must not begin its last layer."""
    rng = np.random.default_rng(seed)
    mlp = network(rng, 8, 8, 1, 5)
    vectors = rng.integers(-128, 128, (3 * config.nano_batch, 8))

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, mlp)
        ctx.set(engine.dut.outputs.ready, 0)
        await engine.send(ctx, vectors)
        await ctx.tick().repeat(8 * config.min_pass_cycles)
        assert not engine.values
        ctx.set(engine.dut.outputs.ready, 1)
        await engine.drained(ctx, len(vectors) - 1)
        ctx.set(engine.dut.outputs.ready, 0)
        ctx.set(engine.dut.load.valid, 1)
        await ctx.tick().repeat(5)
        assert ctx.get(engine.dut.load.ready) == 0  # not before the last result has left
        ctx.set(engine.dut.outputs.ready, 1)
        await engine.drained(ctx, len(vectors))

    engine = Engine(config)
    engine.run(bench, max_cycles=5_000)
    np.testing.assert_array_equal(np.array(engine.values)[:, :5], mlp_integer(mlp, vectors, config.profile).numpy())


def test_a_longer_nano_batch_than_its_stream_waits_for_last(seed: int) -> None:
    """Vectors short of a nano-batch stay inside until ``last``; loading waits for them."""
    rng = np.random.default_rng(seed)
    mlp = network(rng, 7, 10, 2, 3)
    vectors = rng.integers(-128, 128, (4, 7))

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, mlp)
        await engine.send(ctx, vectors[:3], last=False)
        ctx.set(engine.dut.load.valid, 1)
        await ctx.tick().repeat(300)
        assert (engine.values, ctx.get(engine.dut.load.ready)) == ([], 0)
        await engine.send(ctx, vectors[3:])
        await engine.drained(ctx, 4)
        await ctx.tick()
        assert ctx.get(engine.dut.load.ready) == 1

    engine = Engine(SQUARE_4)
    engine.run(bench, max_cycles=3_000)
    np.testing.assert_array_equal(np.array(engine.values)[:, :3], mlp_integer(mlp, vectors, SQUARE_4.profile).numpy())


def test_load_words_for_others_change_nothing_and_priming_takes_its_time(seed: int) -> None:
    """No network, no inputs; ``prime_cycles`` behind a load word inputs are taken; strange words are swallowed."""
    rng = np.random.default_rng(seed)
    mlp = network(rng, 7, 10, 2, 3)
    vectors = rng.integers(-128, 128, (2, 7))
    config = SQUARE_4

    async def bench(ctx, engine: Engine) -> None:
        inputs = engine.dut.inputs
        for _ in range(2 * config.rows):
            assert ctx.get(inputs.ready) == 0
            await ctx.tick()
        await engine.load(ctx, mlp)
        for target, address in (
            (LoadTarget.TABLE, 0),
            (LoadTarget.LEVEL_REGISTER, 0),
            (LoadTarget.MLP_CONTROL, 7),
            (LoadTarget.LAYER_REGISTER, config.max_layers),
        ):
            await engine.word(ctx, target, address, 0)
        for _ in range(config.prime_cycles):
            assert ctx.get(inputs.ready) == 0
            await ctx.tick()
        assert ctx.get(inputs.ready) == 1
        await engine.send(ctx, vectors)
        await engine.drained(ctx, 2)

    engine = Engine(config)
    engine.run(bench, max_cycles=3_000)
    np.testing.assert_array_equal(np.array(engine.values)[:, :3], mlp_integer(mlp, vectors, config.profile).numpy())


@pytest.mark.parametrize("config", [SQUARE_8, FISSION_8], ids=["whole", "fission"])
@pytest.mark.parametrize("after", [3, 60, 200])
def test_reset_in_traffic(config: MlpEngineConfig, after: int, seed: int) -> None:
    """A reset while vectors arrive, compute or leave: nothing of them comes out, and a new network runs as ever."""
    rng = np.random.default_rng(seed)
    old, new = network(rng, 8, 8, 1, 8), network(rng, 7, 5, 2, 3)
    vectors = rng.integers(-128, 128, (config.nano_batch + 5, 7))

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, old)
        inputs = engine.dut.inputs
        ctx.set(inputs.payload, {"values": [100] * config.max_width, "last": 0})
        ctx.set(inputs.valid, 1)
        for _ in range(after):
            await ctx.tick()
        ctx.set(inputs.valid, 0)
        ctx.set(engine.reset, 1)
        await ctx.tick()
        ctx.set(engine.reset, 0)
        assert (ctx.get(inputs.ready), ctx.get(engine.dut.outputs.valid)) == (0, 0)
        engine.values.clear()
        await engine.load(ctx, new)
        await engine.send(ctx, vectors)
        await engine.drained(ctx, len(vectors))

    engine = Engine(config)
    engine.run(bench, max_cycles=5_000)
    np.testing.assert_array_equal(np.array(engine.values)[:, :3], mlp_integer(new, vectors, config.profile).numpy())


def test_a_waiting_load_word_changes_nothing_until_the_engine_is_empty(seed: int) -> None:
    """A layer register is offered in every clock from the first vector on: it is refused while a vector is inside."""
    rng = np.random.default_rng(seed)
    mlp = network(rng, 7, 10, 2, 3)
    vectors = rng.integers(-128, 128, (SQUARE_4.nano_batch + 2, 7))
    early = []

    async def bench(ctx, engine: Engine) -> None:
        await engine.load(ctx, mlp)
        load, inputs = engine.dut.load, engine.dut.inputs
        await engine.send(ctx, vectors[:1])
        ctx.set(load.payload, {"target": int(LoadTarget.LAYER_REGISTER), "address": 0, "data": 0})
        ctx.set(load.valid, 1)
        for number, vector in enumerate(vectors[1:].tolist(), start=1):
            ctx.set(inputs.payload, {"values": [*vector, *[0] * 5], "last": number == len(vectors) - 1})
            ctx.set(inputs.valid, 1)
            taken = False
            while not taken:
                taken = ctx.get(inputs.ready)
                if ctx.get(load.ready):
                    early.append(engine.clock)
                await ctx.tick()
            ctx.set(inputs.valid, 0)
        while len(engine.values) < len(vectors):
            if ctx.get(load.ready):
                early.append(engine.clock)
            await ctx.tick()

    engine = Engine(SQUARE_4)
    engine.run(bench, max_cycles=3_000)
    assert early == []
    np.testing.assert_array_equal(np.array(engine.values)[:, :3], mlp_integer(mlp, vectors, SQUARE_4.profile).numpy())
