"""The cluster's RTL against the golden model and its cycle model; what several processors gain."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.presets import FIELDS, NFPS
from arch.random_field import random_field, random_float_field
from arch.release import RELEASES
from cli.comparison import numpy_call
from reference.field import field_fp16, field_integer
from sim.engine.cluster import cluster_cycles
from sim.engine.nfp import nfp_cycles

ONE = 1 << 23
FIELD = FieldConfig(
    app="gia",
    grid=GridConfig(n_pos_dims=2, n_levels=2, log2_hashmap_size=9, base_resolution=9, per_level_scale=1.5),
    network=MlpConfig(n_input_dims=4, n_neurons=8, n_hidden_layers=2, n_output_dims=3),
)
CLUSTER = ClusterConfig(
    nfp=NfpConfig(
        encoding=EncodingEngineConfig(n_pos_dims=2, n_levels=2, table_rows=512),
        mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=32, max_width=8, max_layers=3),
        max_outputs=3,
    ),
    n_nfps=4,
)
ALONE = replace(CLUSTER, n_nfps=1)
FAST_FIELD = replace(FIELD, network=MlpConfig(n_input_dims=4, n_neurons=4, n_hidden_layers=1, n_output_dims=3))
"""Two clocks a point of the processors above: four of them want two points a clock, as large arrays do."""


def _points(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ONE, (count, 2), endpoint=True)


@pytest.mark.cosim
@pytest.mark.parametrize(
    ("config", "shape"),
    [(CLUSTER, FIELD), pytest.param(replace(CLUSTER, points_per_clock=4), FAST_FIELD, marks=pytest.mark.long)],
)
def test_a_frame_on_four_processors(config: ClusterConfig, shape: FieldConfig, seed: int) -> None:
    """64 K points: every value, every clock, 3.95 times one processor; then short runs and pauses on both sides."""
    from sim.cosim.engine import cluster_simulator

    field, frame = random_field(shape, seed=seed), _points(1 << 16, seed)
    model = cluster_cycles(shape, config, frame, primed=config.nfp.prime_cycles)
    with cluster_simulator(field, config) as simulator:
        run = simulator.run(frame)
        golden = field_integer(field, torch.from_numpy(frame / ONE)).numpy()
        assert np.array_equal(run.outputs, golden)
        assert len(np.unique(golden, axis=0)) > 1000
        assert np.array_equal(run.accepted, model.accepted)
        assert np.array_equal(run.given, model.results)
        assert nfp_cycles(shape, config.nfp, frame).cycles >= 3.95 * run.cycles
        # an event is counted a clock late: nothing of the last clock yet, in which a beat of results leaves
        counters, left = simulator.counters(), len(frame) - config.beat_points
        assert (counters["points"], counters["results"], counters["busy"]) == (len(frame), left, run.cycles - 1)
        for count in (1, 33, 7 * 32 + 5):
            short = simulator.run(frame[:count])
            expected = cluster_cycles(shape, config, frame[:count])
            assert np.array_equal(short.outputs, golden[:count])
            # the ring goes on from where it was; an empty cluster's clocks do not depend on it
            assert np.array_equal(short.given, expected.results)
        paused = simulator.run(frame[:3000], run_length=100, idle=0.3, backpressure=0.4)
        assert np.array_equal(paused.outputs, golden[:3000])


@pytest.mark.cosim
@pytest.mark.long
@pytest.mark.parametrize("points_per_clock", [1, 2])
def test_two_processors_give_a_gpus_bits(points_per_clock: int, seed: int) -> None:
    """In ``fp16``: fp32 coordinates, some outside the square, through two processors; every bit and every clock."""
    from sim.cosim.engine import cluster_simulator

    nfp = NfpConfig(
        encoding=EncodingEngineConfig(n_pos_dims=2, n_levels=2, table_rows=512, arithmetic="fp16"),
        mlp=MlpEngineConfig(
            rows=16, cols=4, nano_batch=32, max_width=16, max_layers=3, weight_tiles=16, arithmetic="fp16"
        ),
        max_outputs=3,
    )
    config = ClusterConfig(nfp=nfp, n_nfps=2, points_per_clock=points_per_clock)
    shape = replace(FIELD, network=MlpConfig(n_input_dims=4, n_neurons=16, n_hidden_layers=1, n_output_dims=3))
    field = random_float_field(shape, seed=seed)
    positions = np.random.default_rng(seed).uniform(-0.1, 1.1, (3000, 2)).astype(np.float32)
    golden = numpy_call(field_fp16, field, positions).view(np.int16)
    assert len(np.unique(golden)) > 3000
    model = cluster_cycles(shape, config, positions.view(np.uint32), primed=nfp.prime_cycles)
    with cluster_simulator(field, config) as simulator:
        run = simulator.run(positions.view(np.uint32))
    assert np.array_equal(run.outputs, golden)
    assert np.array_equal(run.accepted, model.accepted)
    assert np.array_equal(run.given, model.results)


def test_one_point_a_clock_starves_fast_processors() -> None:
    """What ``points_per_clock`` is for, and that its default suffices for arrays of any size."""
    frame = _points(1 << 14, 1)
    clocks = [cluster_cycles(FAST_FIELD, replace(CLUSTER, points_per_clock=n), frame).cycles for n in (1, 2, 4)]
    assert clocks[0] > len(frame) and clocks[1] < 0.6 * clocks[0] and clocks[2] < clocks[1]
    points = {name: release.cluster.beat_points for name, release in RELEASES.items()}
    assert points == dict.fromkeys(points, 1) | {"asic-ngpc": 4}
    large = RELEASES["asic-ngpc"].cluster
    assert [replace(large, n_nfps=n).beat_points for n in (1, 2, 8, 64)] == [1, 2, 8, 16]


def test_one_processor_in_a_cluster_costs_its_queues_alone() -> None:
    frame = _points(5000, 1)
    assert cluster_cycles(FIELD, ALONE, frame).cycles == nfp_cycles(FIELD, ALONE.nfp, frame).cycles + 4


@pytest.mark.parametrize(
    ("name", "nfp"),
    [("gia_dense", NFPS["nfp-16x16"]), ("nsdf_hash", NFPS["nfp-16x16"]), ("nerf_hash", RELEASES["u250"].cluster.nfp)],
)
def test_a_64k_frame_on_presets_scales(name: str, nfp: NfpConfig) -> None:
    field = FIELDS[name]
    field = replace(field, grid=replace(field.grid, log2_hashmap_size=14))
    frame = np.random.default_rng(0).integers(0, ONE, (1 << 16, field.grid.n_pos_dims), endpoint=True)
    config = ClusterConfig(nfp=nfp, n_nfps=4)
    run = cluster_cycles(field, config, frame)
    assert nfp_cycles(field, config.nfp, frame).cycles >= 3.95 * run.cycles
    shares = np.bincount(run.nfps, minlength=4)
    assert shares.min() == shares.max() == (1 << 14) // nfp.mlp.nano_batch
    assert (np.diff(run.results) > 0).all()


def test_an_empty_run_is_refused() -> None:
    with pytest.raises(InputError, match=r"^number of points must be at least 1, not 0$"):
        cluster_cycles(FIELD, CLUSTER, _points(0, 1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_nfps": 65}, "n_nfps must be an integer from 1 to 64, not 65"),
        ({"queued_batches": 0}, "queued_batches must be an integer from 1 to 16, not 0"),
        ({"points_per_clock": 17}, "points_per_clock must be an integer from 0 to 16, not 17"),
        ({"points_per_clock": 3}, "points_per_clock must be a power of two, or 0, not 3"),
        (
            {"nfp": replace(CLUSTER.nfp, mlp=replace(CLUSTER.nfp.mlp, nano_batch=12)), "points_per_clock": 8},
            "points_per_clock must divide the nano-batch of 12 points, not be 8",
        ),
        ({"queued_batches": 9}, "reorder_batches must be an integer from 9 to 64, not 8"),
    ],
)
def test_a_cluster_that_cannot_be_built_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(CLUSTER, **change)
    assert str(caught.value) == sentence
