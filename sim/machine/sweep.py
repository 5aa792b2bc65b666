"""The design space of a cluster: how many points a second it computes, on how much area, with how much power."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from arch.errors import InputError, check_integer, check_multiple, check_one_of
from arch.field import APPS, FieldConfig
from arch.memory_preset import load_memory
from arch.mlp_plan import plan_mlp
from arch.nfp import NfpConfig
from sim.machine.cluster_batch import ENCODINGS, field_of
from sim.machine.frame import BATCH_POINTS
from sim.machine.frame_traffic import memory_rate, point_traffic
from sim.machine.nfp_rate import nfp_for, nfp_rate
from sim.machine.silicon import nfp_silicon

__all__ = ["ARRAYS", "CLOCKS_GHZ", "LEVEL_PARALLEL", "DesignPoint", "DesignSpace", "sweep"]

ARRAYS = (16, 32, 64)
LEVEL_PARALLEL = (4, 8, 16)
CLOCKS_GHZ = (0.01, 10.0)
"""Slowest and fastest. Clocks a point do not depend on the clock, so any number would give a result, but area and
energy are those of 7 nm logic at its nominal voltage, which is built for none of the clocks beyond these."""

_ENGINES = (1, 2, 4, 8, 16)
_ROOMY_TILES = 4096


@dataclass(frozen=True, kw_only=True)
class DesignPoint:
    """One cluster on one field.

    Parameters
    ----------
    app, encoding : the field
    level_parallel : level engines of a processor
    array : rows and columns of its MLP engine
    fission : whether the array splits for narrow layers
    bank_ports : of a level engine's banks: 2 (eight of them) or 1 (sixteen)
    clock_ghz, n_nfp : of the cluster
    clk_per_point : of a processor: the slower of its two engines, from their cycle models
    limiter : ``encoding`` or ``mlp``, whichever is slower; ``memory`` if points and results pass no faster
    gpoints_per_s : of the cluster, billions
    mm2, watts : of the cluster, modelled
    pareto : whether no cluster of the same clock computes as many points on less area, or more on the same
    source : ``cycle_model`` for clocks and points; area and power are modelled
    """

    app: str
    encoding: str
    level_parallel: int
    array: int
    fission: bool
    bank_ports: int
    clock_ghz: float
    n_nfp: int
    clk_per_point: float
    limiter: str
    gpoints_per_s: float
    mm2: float
    watts: float
    pareto: bool = False
    source: str = "cycle_model"


@dataclass(frozen=True, kw_only=True)
class DesignSpace:
    """What a sweep found.

    Parameters
    ----------
    points : every cluster once
    left_out : how many of the clusters asked for have no point of their own
    notes : why, a sentence a reason
    """

    points: tuple[DesignPoint, ...]
    left_out: int
    notes: tuple[str, ...]


def sweep(
    *,
    app: str = "nerf",
    encoding: str = "hashgrid",
    level_parallel: Sequence[int] = LEVEL_PARALLEL,
    arrays: Sequence[int] = ARRAYS,
    fission: Sequence[bool] = (False, True),
    bank_ports: Sequence[int] = (1, 2),
    clocks_ghz: Sequence[float] = (1.0,),
    n_nfps: Sequence[int] = (1, 8, 16, 32, 64),
    gpu: str = "rtx3090",
    update: Callable[[int, int], None] = lambda done, total: None,
) -> DesignSpace:
    """Every combination, tables as large as the field needs on that many engines.

    Level engines beyond the field's levels would be idle, so such a ``level_parallel`` is taken as an engine a level,
    once: the same choice serves every encoding. A combination that cannot be built is left out.

    Raises
    ------
    InputError
        If a value is none a cluster can be built with, a clock lies outside ``CLOCKS_GHZ``, or no combination can be
        built.
    """
    check_one_of("app", app, APPS)
    check_one_of("encoding", encoding, tuple(ENCODINGS))
    for size in level_parallel:
        check_one_of("level_parallel", size, _ENGINES)
    for array in arrays:
        check_multiple("rows", array, 4, 4, 128)
    for ports in bank_ports:
        check_one_of("bank_ports", ports, (1, 2))
    for clock in clocks_ghz:
        # written so that NaN is refused
        if not CLOCKS_GHZ[0] <= clock <= CLOCKS_GHZ[1]:
            raise InputError(f"clock_ghz must be a number from {CLOCKS_GHZ[0]:g} to {CLOCKS_GHZ[1]:g}, not {clock!r}")
    for n_nfp in n_nfps:
        check_integer("n_nfp", n_nfp, 1, 64)
    field = field_of(app, encoding)
    fed, _ = memory_rate(load_memory(gpu).name, point_traffic(field), BATCH_POINTS)
    most = next(size for size in _ENGINES if size >= field.grid.n_levels)
    builds = list(product(dict.fromkeys(min(size, most) for size in level_parallel), arrays, fission, bank_ports))
    points: list[DesignPoint] = []
    refused: Counter[str] = Counter()
    for number, (parallel, array, split, ports) in enumerate(builds, 1):
        try:
            nfp = _nfp(field, parallel, array, split, ports)
        except InputError as error:
            refused[str(error)] += 1
            update(number, len(builds))
            continue
        rate = nfp_rate(field, nfp)
        silicon = nfp_silicon(nfp, field)
        slower = "encoding" if rate.encoding_clk_per_point >= rate.mlp_clk_per_point else "mlp"
        for clock, n_nfp in product(clocks_ghz, n_nfps):
            computed = n_nfp * clock * 1e9 / rate.clk_per_point
            points.append(
                DesignPoint(
                    app=app, encoding=encoding, level_parallel=parallel, array=array, fission=split, bank_ports=ports,
                    clock_ghz=clock, n_nfp=n_nfp, clk_per_point=rate.clk_per_point,
                    limiter="memory" if fed < computed else slower, gpoints_per_s=min(computed, fed) / 1e9,
                    mm2=n_nfp * silicon.mm2,
                    watts=min(computed, fed) * silicon.nj_per_point(rate.clk_per_point) * 1e-9,
                )
            )  # fmt: skip
        update(number, len(builds))
    if not points:
        raise InputError(next(iter(refused)))
    best = {id(point) for clock in clocks_ghz for point in _front([p for p in points if p.clock_ghz == clock])}
    notes = [f"{count} of {len(builds)} processors cannot be built: {reason}." for reason, count in refused.items()]
    beyond = [str(size) for size in level_parallel if size > most]
    if beyond:
        levels = f"the {field.grid.n_levels} levels of {app} {encoding}"
        notes.insert(0, f"level_parallel {', '.join(beyond)} is taken as {most}: {levels} keep no more engines busy.")
    asked = prod(map(len, (level_parallel, arrays, fission, bank_ports, clocks_ghz, n_nfps)))
    return DesignSpace(
        points=tuple(replace(point, pareto=id(point) in best) for point in points),
        left_out=asked - len(points),
        notes=tuple(notes),
    )


def _nfp(field: FieldConfig, parallel: int, array: int, split: bool, ports: int) -> NfpConfig:
    """NGPC's processor for ``field`` with other numbers; an engine serves as many levels as it must."""
    nfp = nfp_for(field, level_parallel=parallel, bank_ports=ports)
    mlp = replace(nfp.mlp, rows=array, cols=array, fission=split, weight_tiles=_ROOMY_TILES)
    tiles = sum(plan_mlp(network, mlp).tiles for network in field.networks)
    return replace(nfp, mlp=replace(mlp, weight_tiles=tiles))


def _front(points: Sequence[DesignPoint]) -> Iterator[DesignPoint]:
    """Those for which no other computes at least as much on less area, or more on the same."""
    fastest = 0.0
    for point in sorted(points, key=lambda p: (p.mm2, -p.gpoints_per_s)):
        if point.gpoints_per_s > fastest:
            fastest = point.gpoints_per_s
            yield point
