"""Speed of one neural fields processor on a field, from the cycle models of its two engines.

Encoding and MLP engine form a pipeline on nano-batches, so the slower of the two sets the pace.
"""

from dataclasses import dataclass, replace

import numpy as np

from arch.encoding_engine import EncodingEngineConfig, level_layouts
from arch.field import FieldConfig
from arch.mlp_engine import MlpEngineConfig
from arch.multi_point_encoding import MultiPointConfig
from arch.nfp import NfpConfig
from arch.number_format import COORDINATE
from sim.engine.encoding import encoding_cycles
from sim.engine.mlp import mlp_total_cycles
from sim.engine.multi_point_encoding import multi_point_cycles

__all__ = [
    "NfpRate", "TableReload", "lanes_clk_per_point", "nfp_for", "nfp_rate", "table_reload", "table_words",
]  # fmt: skip

_SAMPLE_POINTS = 1 << 14
_MOST_TABLE_ROWS = 1 << 24


@dataclass(frozen=True, kw_only=True)
class NfpRate:
    """Clocks of one processor.

    Parameters
    ----------
    encoding_clk_per_point : the encoding engine, bank conflicts included
    mlp_clk_per_point : the MLP engine, all networks of the field
    latency : clocks a run takes beyond those of its points: filling the encoding engine and the first nano-batch
    table_bytes : feature table of the fullest level engine
    """

    encoding_clk_per_point: float
    mlp_clk_per_point: float
    latency: int
    table_bytes: int

    @property
    def clk_per_point(self) -> float:
        """The pace of the pipeline."""
        return max(self.encoding_clk_per_point, self.mlp_clk_per_point)


@dataclass(frozen=True, kw_only=True)
class TableReload:
    """What a field costs on level engines whose tables are too small for it.

    A level that is too large is cut into parts. A batch's points pass once for each part, and the parts' features are
    added; levels that fit stay.

    Parameters
    ----------
    parts : passes of a batch: parts of the largest level
    load_clk : clocks to load all parts of all levels that do not fit, once: a table row a load word, a word a clock;
        all processors take the same words
    """

    parts: int
    load_clk: int

    def clk_per_point(self, rate: NfpRate) -> float:
        """The pace of a processor whose encoding engine takes every point once for each part."""
        return max(self.parts * rate.encoding_clk_per_point, rate.mlp_clk_per_point)


def table_reload(field: FieldConfig, nfp: NfpConfig, table_bytes: int) -> TableReload:
    """Parts and load time of ``field`` on level engines of ``table_bytes`` each."""
    row_bytes = field.grid.n_features_per_level * nfp.encoding.profile.value_bits // 8
    rows = [layout.level.entries for layout in level_layouts(field.grid, nfp.encoding)]
    parts = [-(-count * row_bytes // table_bytes) for count in rows]
    load = sum(count * nfp.encoding.row_words for count, cut in zip(rows, parts, strict=True) if cut > 1)
    return TableReload(parts=max(parts), load_clk=load)


def table_words(field: FieldConfig, nfp: NfpConfig) -> int:
    """Load words of all feature tables, a clock each; registers and weights are a few thousand more."""
    return sum(layout.level.entries for layout in level_layouts(field.grid, nfp.encoding)) * nfp.encoding.row_words


def nfp_for(field: FieldConfig, *, level_parallel: int | None = None, bank_ports: int = 2) -> NfpConfig:
    """NGPC's processor, sized for ``field``: a level engine per level, tables that fit, a 64 x 64 array.

    The study's 1 MiB of table per level engine does not hold every encoding it evaluates (docs/frames.md); here the
    tables are as large as the field needs, and the result says so.

    Parameters
    ----------
    field : what it computes
    level_parallel : level engines; fewer than levels serve several each. By default as many as levels
    bank_ports : of a level engine's banks
    """
    grid = field.grid
    parallel = level_parallel or next(size for size in (1, 2, 4, 8, 16) if size >= grid.n_levels)
    roomy = EncodingEngineConfig(
        n_pos_dims=max(grid.n_pos_dims, 2),
        n_features_per_level=grid.n_features_per_level,
        n_levels=max(parallel, grid.n_levels),
        level_parallel=parallel,
        table_rows=_MOST_TABLE_ROWS,
        bank_ports=bank_ports,
    )
    rows = max(layout.first_row + layout.rows for layout in level_layouts(grid, roomy)) * roomy.n_banks
    return NfpConfig(encoding=replace(roomy, table_rows=rows), mlp=MlpEngineConfig())


def lanes_clk_per_point(field: FieldConfig, nfp: NfpConfig, n_engines: int, *, seed: int = 0) -> float:
    """Clocks a point of ``n_engines`` level engines that share out several points at once, as the study maps grids of
    few levels: as many points a clock as there are engines for every level of one (``arch.multi_point_encoding``).

    Parameters
    ----------
    field, nfp : as for :func:`nfp_rate`; ``nfp`` has a level engine for every level
    n_engines : level engines, a power of two, at least those of ``nfp``
    seed : of the random points
    """
    points_per_clock = n_engines // nfp.encoding.level_parallel
    if points_per_clock == 1:
        return nfp_rate(field, nfp, seed=seed).encoding_clk_per_point
    engine = replace(nfp.encoding, level_parallel=n_engines, n_levels=n_engines)
    config = MultiPointConfig(engine=engine, points_per_clock=points_per_clock)
    run = multi_point_cycles(field.grid, config, _random_points(field, seed))
    return float(run.features[-1] - run.features[0]) / (_SAMPLE_POINTS - points_per_clock)


def nfp_rate(field: FieldConfig, nfp: NfpConfig, *, seed: int = 0) -> NfpRate:
    """Run the cycle models: the encoding on uniformly random points (the worst order for table banks).

    The networks of a field share the MLP engine, so their clocks add up.
    """
    encoding = encoding_cycles(field.grid, nfp.encoding, _random_points(field, seed))
    nano_batch = nfp.mlp.nano_batch
    alone = sum(mlp_total_cycles(network, nfp.mlp, nano_batch) for network in field.networks)
    steady = sum(
        mlp_total_cycles(network, nfp.mlp, 2 * nano_batch) - mlp_total_cycles(network, nfp.mlp, nano_batch)
        for network in field.networks
    )
    return NfpRate(
        encoding_clk_per_point=float(encoding.features[-1] - encoding.features[0]) / (_SAMPLE_POINTS - 1),
        mlp_clk_per_point=steady / nano_batch,
        latency=int(encoding.features[0] - encoding.accepted[0]) + alone - steady,
        table_bytes=nfp.encoding.table_rows * field.grid.n_features_per_level * nfp.encoding.profile.value_bits // 8,
    )


def _random_points(field: FieldConfig, seed: int) -> np.ndarray:
    shape = (_SAMPLE_POINTS, field.grid.n_pos_dims)
    return np.random.default_rng(seed).integers(0, 1 << COORDINATE.fraction_bits, size=shape, endpoint=True)
