"""A cluster of two real processors, small: every value, every clock and every counter of a short run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from amaranth.sim import Simulator

from arch.encoding_engine import EncodingEngineConfig
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.nfp_image import nfp_image
from arch.number_format import COORDINATE
from arch.random_field import random_field
from reference.field import field_integer
from rtl.cluster.nfp_cluster import NfpCluster
from sim.engine.cluster import cluster_cycles

ONE = 1 << COORDINATE.fraction_bits
CLUSTER = ClusterConfig(
    nfp=NfpConfig(
        encoding=EncodingEngineConfig(n_pos_dims=2, n_levels=2, table_rows=256),
        mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=20, max_width=8, max_layers=3),
        max_outputs=3,
    ),
    n_nfps=2,
)
GRID = GridConfig(n_pos_dims=2, n_levels=2, log2_hashmap_size=6, base_resolution=4, per_level_scale=1.5)


def _payload(points: np.ndarray, first: int, beat: int) -> dict:
    """The transfer that begins with point ``first``; what lies behind the last point is 0."""
    position = points[first : first + beat].ravel().tolist()
    several = {} if beat == 1 else {"n": len(position) // 2 - 1}
    return {
        "position": position + [0] * (2 * beat - len(position)),
        "last": int(first + beat >= len(points)),
        **several,
    }


# with the first the engines wait for each other, with the second only the MLP engine waits
@pytest.mark.parametrize(("n_hidden_layers", "beat"), [(1, 1), (0, 4)])
def test_a_short_run_is_the_models(n_hidden_layers: int, beat: int, seed: int) -> None:
    config = replace(CLUSTER, points_per_clock=beat)
    network = MlpConfig(n_input_dims=4, n_neurons=8, n_hidden_layers=n_hidden_layers, n_output_dims=3)
    field = random_field(FieldConfig(app="gia", grid=GRID, network=network), seed=seed)
    points = np.random.default_rng(seed).integers(0, ONE, (9 * 20 + 7, 2), endpoint=True)
    golden = field_integer(field, torch.from_numpy(points / ONE)).numpy()
    image, dut = nfp_image(field, CLUSTER.nfp), NfpCluster(config)
    model = cluster_cycles(field.config, config, points, primed=CLUSTER.nfp.prime_cycles)
    accepted, given, values = [], [], []

    async def bench(ctx):
        for target, address, data in zip(image.target, image.address, image.data, strict=True):
            ctx.set(dut.load.payload, {"target": int(target), "address": int(address), "data": int(data)})
            ctx.set(dut.load.valid, 1)
            while not ctx.get(dut.load.ready):
                await ctx.tick()
            await ctx.tick()
        ctx.set(dut.load.valid, 0)
        ctx.set(dut.results.ready, 1)
        for clock in range(2 * model.cycles):
            sent = len(accepted)
            ctx.set(dut.points.valid, int(sent < len(points)))
            if sent < len(points):
                ctx.set(dut.points.payload, _payload(points, sent, beat))
                if ctx.get(dut.points.ready):
                    accepted.extend([clock] * min(beat, len(points) - sent))
            if ctx.get(dut.results.valid):
                result = ctx.get(dut.results.payload)
                held = 1 if beat == 1 else result["n"] + 1
                given.extend([clock] * held)
                assert not result["error"]
                values.extend([result["values"][3 * point + output] for output in range(3)] for point in range(held))
            await ctx.tick()
            if len(given) == len(points):
                break
        # a cluster's events are counted a clock late
        await ctx.tick()
        counters = {name: ctx.get(dut.counters[name]) for name, _ in dut.counters.shape()}
        assert (counters["points"], counters["results"]) == (len(points), len(points))
        await ctx.tick()
        limits = [ctx.get(dut.counters[name]) for name in ("encoding_limits", "mlp_limits")]
        assert limits == [model.encoding_limits, model.mlp_limits]

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert values == golden.tolist()
    first = accepted[0]
    assert [clock - first for clock in accepted] == model.accepted.tolist()
    assert [clock - first for clock in given] == model.results.tolist()
    assert model.encoding_limits > 0 and (model.mlp_limits > 0) == (n_hidden_layers == 1)
