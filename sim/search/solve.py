"""Solving the layer model: first on a coarse clock, which finds the structure, then on a fine one, which proves."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ortools.sat.python import cp_model

from arch.errors import check_integer, check_positive
from sim.search.layer_model import LayerModel
from sim.search.layer_plan import LayerPlan, sequential_plan
from sim.search.solo_table import SoloTable

__all__ = ["SearchProgress", "solve_layer"]

_COARSE_PARTS = 400
"""Ticks of the coarse clock in the period of a layer run in sequence: about 8 us of LLaMA-2-70B."""

_FINE_US = 0.1
_COARSE_EFFORT = 0.4
_WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """How far the search is: effort spent of all, best period found and proven bound; 0 if there is none yet."""

    spent: float
    effort: float
    period_us: float
    bound_us: float


def solve_layer(
    table: SoloTable,
    *,
    n_batches: int = 2,
    n_parts: int = 2,
    effort: float = 5.0,
    seed: int = 0,
    warm_start: LayerPlan | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
) -> LayerPlan:
    """The best schedule of a layer found within the effort, and a bound on all of its structures.

    The same arguments give the same plan on every machine: the effort is counted in the solver's deterministic time
    (one unit is five seconds of two cores or so), and its workers take turns.

    Parameters
    ----------
    table : kernel times; sets the batch
    n_batches, n_parts : most nano-batches of the layer, and most parts of each in KQV and attention
    effort : deterministic time to spend
    seed : of the solver's random choices
    warm_start : a plan to start from, of this or another mix of decode and prefill
    progress : called with every solution and every better bound

    Raises
    ------
    InputError
        If a number is out of range.
    """
    check_integer("n_batches", n_batches, 1, 4)
    check_integer("n_parts", n_parts, 1, 4)
    check_positive("effort", effort)
    check_integer("seed", seed, 0, (1 << 31) - 1)
    watch = _Watch(effort, progress, table.least_period_us)
    sequential = sequential_plan(table).period_us
    coarse = LayerModel(
        table, n_batches=n_batches, n_parts=n_parts, tick_us=sequential / _COARSE_PARTS, round_up=True,
        upper_us=1.1 * sequential,
    )  # fmt: skip
    plain = sequential_plan(table)
    coarse.hint(plain if warm_start is None else warm_start)
    found = _solve(coarse, _COARSE_EFFORT * effort, seed, watch, proves=False) or plain
    fine = LayerModel(table, n_batches=n_batches, n_parts=n_parts, tick_us=_FINE_US, upper_us=found.period_us + 2)
    # a plan of this very table is worth more than a coarse one; of another mix it may not even be possible
    fine.hint(found if warm_start is None or warm_start.period_us > found.period_us else warm_start)
    refined = _solve(fine, (1.0 - _COARSE_EFFORT) * effort, seed, watch, proves=True)
    best = found if refined is None else refined
    return replace(best, bound_us=max(best.bound_us, watch.bound_us))


class _Watch:
    """Effort spent in all, and the best of both solvers."""

    def __init__(self, effort: float, report: Callable[[SearchProgress], None] | None, bound_us: float) -> None:
        self.effort, self._report = effort, report
        self.spent, self._period, self.bound_us = 0.0, 0.0, bound_us

    def note(self, spent: float, period_us: float | None, bound_us: float | None) -> None:
        """A better period or bound, ``spent`` into the current solver."""
        if period_us is not None:
            self._period = min(self._period or period_us, period_us)
        if bound_us is not None:
            self.bound_us = max(self.bound_us, bound_us)
        if self._report is not None:
            self._report(
                SearchProgress(
                    spent=min(self.spent + spent, self.effort), effort=self.effort, period_us=self._period,
                    bound_us=self.bound_us,
                )
            )  # fmt: skip


class _Callback(cp_model.CpSolverSolutionCallback):
    """Passes solutions on to the watch."""

    def __init__(self, tick_us: float, watch: _Watch, proves: bool) -> None:
        super().__init__()
        self._tick_us, self._watch, self._proves = tick_us, watch, proves

    def on_solution_callback(self) -> None:
        """Called by the solver."""
        bound = self.best_objective_bound * self._tick_us if self._proves else None
        self._watch.note(self.deterministic_time, self.objective_value * self._tick_us, bound)


def _solve(model: LayerModel, effort: float, seed: int, watch: _Watch, *, proves: bool) -> LayerPlan | None:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = _WORKERS
    solver.parameters.interleave_search = True
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = max(effort, 1e-3)
    if proves:
        solver.best_bound_callback = lambda bound: watch.note(0.0, None, bound * model.tick_us)
    status = solver.solve(model.model, _Callback(model.tick_us, watch, proves))
    watch.spent += solver.response_proto.deterministic_time
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None

    def value(variable: Any) -> int:
        return int(solver.value(variable))

    plan = model.plan(value, solver.best_objective_bound)
    return plan if proves else replace(plan, bound_us=0.0)
