"""Cases of the grid encoding benches: stimuli, golden features and the cycle model's clocks, in one file each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from arch.encoding_engine import EncodingEngineConfig
from arch.encoding_image import encoding_image
from arch.grid import GridConfig
from arch.load import DATA_BITS, LoadImage, LoadTarget
from reference.grid_encoding import encode_integer
from rtl.streams import LoadLayout, PointLayout, VectorLayout
from sim.cosim.payload import pack_payloads
from sim.engine.encoding import encoding_cycles

ONE = 1 << 23
STALLS = ((False, False), (False, True), (True, False), (True, True))
"""Runs of every case: does the source pause, does the sink."""


class EncodingCase:
    """One grid on one engine: two frames of tables, and points under every stall pattern.

    Runs 0 and 1 look up the first frame's tables, 2 and 3 the second's, as if the host reloaded between frames.

    Parameters
    ----------
    rng : draws tables, shifts, points and stalls
    grid, engine : what runs on what
    points : (points, n_pos_dims) raw coordinates; those past 1 read as 1
    reset_after : reset the engine once it took so many points of a run before the first; never if 0
    """

    def __init__(
        self,
        rng: np.random.Generator,
        grid: GridConfig,
        engine: EncodingEngineConfig,
        points: np.ndarray,
        *,
        reset_after: int = 0,
    ) -> None:
        self.grid, self.engine, self.points, self.reset_after = grid, engine, points, reset_after
        self.last = rng.random(len(points)) < 0.1
        self.noise = rng.integers(0, ONE, (len(points), engine.n_pos_dims))
        value = engine.profile.value
        shape = (grid.n_entries, grid.n_features_per_level)
        self.frames = [
            (rng.integers(value.minimum, value.maximum, shape, endpoint=True), rng.integers(0, 8, grid.n_levels))
            for _ in range(2)
        ]
        pauses = [[_clocks(rng, stalls, len(points), 4 * grid.n_levels) for stalls in run] for run in STALLS]
        self.offered, self.wanted = (np.stack([run[side] for run in pauses]) for side in range(2))
        # A sink that starts late lets the points take all credits.
        self.wanted[1] += rng.integers(0, 2 * engine.points_in_flight * grid.n_levels)
        self.timings = [
            encoding_cycles(grid, engine, self.inside, offered=offered, wanted=wanted)
            for offered, wanted in zip(self.offered, self.wanted, strict=True)
        ]

    @property
    def inside(self) -> np.ndarray:
        """The points as the engine reads them."""
        return np.minimum(self.points, ONE)

    def golden(self, tables: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """(points, n_output_dims) raw features."""
        tensors = [torch.from_numpy(array) for array in (tables, self.inside)]
        return encode_integer(self.grid, tensors[0], shifts.tolist(), tensors[1], self.engine.profile).numpy()

    def image(self, frame: int) -> LoadImage:
        """Load words of a frame."""
        return encoding_image(self.grid, self.engine, *self.frames[frame])

    def write(self, path: Path, **more: np.ndarray) -> Path:
        """Write what the bench reads; ``more`` goes along."""
        engine = self.engine
        position = self.noise.copy()  # dimensions past the grid's own are ignored, whatever they hold
        position[:, : self.grid.n_pos_dims] = self.points
        arrays = {
            "points": pack_payloads(PointLayout(engine.n_pos_dims), {"position": position, "last": self.last}),
            "offered": self.offered,
            "wanted": self.wanted,
            "accepted": np.stack([timing.accepted for timing in self.timings]),
            "given": np.stack([timing.features for timing in self.timings]),
            "reset_after": np.array(self.reset_after),
        }
        for number, frame in enumerate(self.frames):
            image = self.image(number)
            arrays[f"load_{number}"] = load_words(image.target, image.address, image.data)
            arrays[f"features_{number}"] = self.features_words(self.golden(*frame))
        np.savez(path, **arrays, **more)
        return path

    def features_words(self, features: np.ndarray) -> np.ndarray:
        """Payloads of ``features``; levels past the grid's are 0."""
        engine = self.engine
        layout = VectorLayout(engine.n_levels * engine.n_features_per_level, engine.profile.value_bits)
        return pack_payloads(layout, {"values": features, "last": self.last})

    def patch(self) -> dict[str, np.ndarray]:
        """A load word that changes row 0 of level 0 in the first frame, and the features from then on.

        Of a row of two load words it changes the first.
        """
        image = self.image(0)
        at = int(np.flatnonzero(image.target == LoadTarget.TABLE)[0])
        tables, shifts = self.frames[0]
        value = self.engine.profile.value
        patched = tables.copy()
        first = slice(DATA_BITS // self.engine.profile.value_bits)
        patched[0, first] = np.where(tables[0, first] < 0, value.maximum, value.minimum)
        data = encoding_image(self.grid, self.engine, patched, shifts).data
        return {
            "patch": load_words(image.target[at : at + 1], image.address[at : at + 1], data[at : at + 1]),
            "patched_features": self.features_words(self.golden(patched, shifts)),
        }


def _clocks(rng: np.random.Generator, stall: bool, count: int, pause: int) -> np.ndarray:
    """Clock from which each item is offered or wanted: 0, or bursts with gaps."""
    if not stall:
        return np.zeros(count, dtype=np.int64)
    return np.cumsum(rng.integers(0, pause, count) * (rng.random(count) < 0.5))


def load_words(target: np.ndarray, address: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Payloads of load words."""
    return pack_payloads(LoadLayout(), {"target": target, "address": address, "data": data})


def edge_points(rng: np.random.Generator, grid: GridConfig, count: int) -> np.ndarray:
    """Random points, the corners of the unit cube, past it, vertices and cell borders of every level, wrap borders."""
    dims = grid.n_pos_dims
    parts = [rng.integers(0, ONE, (count, dims), endpoint=True), rng.choice([0, 1, ONE - 1, ONE], (24, dims))]
    parts.append(rng.integers(ONE, 2 * ONE, (4, dims)))
    for level in grid.levels:
        cells = rng.integers(0, level.resolution, (5, dims))
        for offset in (0.0, -0.5, 0.5):
            parts.append(np.clip(np.rint((cells + offset) / float(level.scale) * ONE), 0, ONE).astype(np.int64))
        border = rng.integers(0, ONE, (5, dims), endpoint=True)
        border[:, -1] = ONE - rng.integers(0, 2 * ONE // level.resolution, 5)
        parts.append(np.maximum(border, 0))
    points = np.concatenate(parts)
    points = points[rng.permutation(len(points))]
    # Then a short walk along a ray, where neighbours share cells and banks, and some points twice in a row.
    walk = np.clip(rng.integers(0, ONE, (1, dims)) + np.arange(40)[:, None] * (ONE // 512), 0, ONE)
    return np.concatenate([points, walk, np.repeat(points[:8], 2, axis=0)])


@pytest.fixture
def encoding_case() -> Callable[..., EncodingCase]:
    """Make a case: ``encoding_case(rng, grid, engine, count, ...)`` with ``count`` random points and all the edges."""

    def make(
        rng: np.random.Generator, grid: GridConfig, engine: EncodingEngineConfig, count: int, **options: int
    ) -> EncodingCase:
        return EncodingCase(rng, grid, engine, edge_points(rng, grid, count), **options)

    return make
