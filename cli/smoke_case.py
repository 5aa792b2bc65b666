"""The smoke test of a released build: words to send and words to expect, from the golden model and the cycle model."""

from dataclasses import dataclass

import numpy as np
import torch

from arch.axis_format import load_format, points_format, results_format
from arch.encoding_engine import EncodingEngineConfig, level_layouts
from arch.encoding_image import ENGINE_ADDRESS_SHIFT, FIRST_ROW_SHIFT, LEVEL_ADDRESS_SHIFT, LevelRegister
from arch.grid import GridConfig
from arch.load import LoadImage, LoadTarget
from arch.nfp_image import n_results, nfp_image
from arch.number_format import COORDINATE
from arch.random_field import random_field
from arch.release import ReleaseConfig
from reference.field import field_integer
from reference.spherical_harmonics import harmonics_integer
from sim.engine.cluster import cluster_cycles

__all__ = ["SmokeCase", "smoke_case"]

_SHORT_RUN = 3
_TAIL = 5
_WRONG_ROW = 0x5A5A5A5A
_BUS_CLOCKS = 2
"""A register each way between the buses and the cluster."""


@dataclass(frozen=True, kw_only=True)
class SmokeCase:
    """What the bench sends and expects.

    Parameters
    ----------
    load : (n, 16) uint8, words of the load stream
    points, points_last : (n, bytes) uint8 and (n,) bool, words of the stream of points: a short run for each processor
        and one more, then a run of more than a nano-batch
    results : (n, bytes) uint8, words of the stream of results; TLAST is that of the points
    timed_first : first point of the last run, which goes without pauses through an empty cluster
    timed_clocks : by the cycle model, of that run: clocks from the first point's transfer to the last result's,
        ``run``, and what the counters of the other names count
    """

    load: np.ndarray
    points: np.ndarray
    points_last: np.ndarray
    results: np.ndarray
    timed_first: int
    timed_clocks: dict[str, int]


def smoke_case(release: ReleaseConfig, seed: int = 1) -> SmokeCase:
    """A random radiance field with its points and golden results.

    Raises
    ------
    InputError
        If the release's smoke field does not fit its processors.
    """
    cluster, rng = release.cluster, np.random.default_rng(seed)
    field = random_field(release.smoke_field, arithmetic=cluster.nfp.mlp.arithmetic, seed=seed)
    runs = [_SHORT_RUN] * (cluster.n_nfps + 1) + [cluster.nfp.mlp.nano_batch + _TAIL]
    count, timed_first = sum(runs), sum(runs[:-1])
    coordinates = rng.integers(0, 1 << COORDINATE.fraction_bits, (count, 3), endpoint=True)
    rays = rng.normal(size=(count, 3))
    directions = torch.from_numpy((rays / np.linalg.norm(rays, axis=1, keepdims=True) + 1) / 2)
    codes = harmonics_integer(directions, field.direction_scale, cluster.nfp.mlp.profile).numpy()
    positions = torch.from_numpy(coordinates / (1 << COORDINATE.fraction_bits))
    golden = field_integer(field, positions, directions).numpy()
    image = _high_rows(nfp_image(field, cluster.nfp), field.config.grid, cluster.nfp.encoding)
    values = np.zeros((count, cluster.nfp.max_outputs), dtype=np.int64)
    values[:, : n_results(field)] = golden
    timing = cluster_cycles(field.config, cluster, coordinates[timed_first:])
    last = np.zeros(count, dtype=bool)
    last[np.cumsum(runs) - 1] = True
    return SmokeCase(
        load=load_format().pack({"data": image.data, "address": image.address, "target": image.target}),
        points=points_format(cluster.nfp).pack({"position": coordinates, "side": codes}),
        points_last=last,
        results=results_format(cluster.nfp).pack({"values": values}),
        timed_first=timed_first,
        timed_clocks={
            "run": timing.cycles + _BUS_CLOCKS,
            "busy": timing.cycles,
            "encoding_limits": timing.encoding_limits,
            "mlp_limits": timing.mlp_limits,
            "source_waits": 0,
            "sink_waits": 0,
        },
    )


def _high_rows(image: LoadImage, grid: GridConfig, engine: EncodingEngineConfig) -> LoadImage:
    """The image with the last level of every level engine in the table's highest rows.

    Behind the table's words come some that nobody reads, in each bank those that differ from one of its rows in one
    address bit: a table that leaves out an address bit would lose the row to one of them.
    """
    address = image.address.copy()
    data = image.data.copy()
    ends = {layout.engine: (number, layout) for number, layout in enumerate(level_layouts(grid, engine))}
    wrong = []
    for number, layout in ends.values():
        first = engine.bank_rows - layout.rows
        place = (image.target == LoadTarget.LEVEL_REGISTER) & (
            address == (number << LEVEL_ADDRESS_SHIFT | LevelRegister.PLACE)
        )
        data[place] += np.uint64(first - layout.first_row << FIRST_ROW_SHIFT)
        row = (image.address & (1 << ENGINE_ADDRESS_SHIFT) - 1) >> engine.bank_bits
        moved = (image.target == LoadTarget.TABLE) & (image.address >> ENGINE_ADDRESS_SHIFT == layout.engine)
        moved &= row >= layout.first_row
        address[moved] += np.uint32(first - layout.first_row << engine.bank_bits)
        bits = range((layout.rows - 1).bit_length(), (engine.bank_rows - 1).bit_length())
        wrong += [
            layout.engine << ENGINE_ADDRESS_SHIFT | (first ^ 1 << bit) << engine.bank_bits | bank
            for bit in bits
            if first ^ 1 << bit >= layout.first_row
            for bank in range(engine.n_banks)
        ]
    whole = LoadImage(target=image.target, address=address, data=data) + LoadImage.of(
        LoadTarget.TABLE, np.array(wrong), np.full(len(wrong), _WRONG_ROW, dtype=np.int64)
    )
    order = np.argsort(whole.target > LoadTarget.TABLE, kind="stable")
    return LoadImage(target=whole.target[order], address=whole.address[order], data=whole.data[order])
