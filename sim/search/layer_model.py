"""The search as a constraint program: one decoder layer that repeats, solved for the period and not for a makespan.

NanoFlow's search (OSDI 2025, section 4.1) unrolls three layers and minimises their makespan. Here the layer is cyclic
from the start: two nano-operations that share a unit must not meet *modulo the period P*. With start times s, durations
d and one integer k for every such pair that is

    s_i + d_i + k P <= s_j    and    s_j + d_j <= s_i + (k + 1) P

linear in everything once k, of which four values are possible, is chosen. Sizes are variables, times follow from the
solo table. Nano-batches and parts that come out empty are absent, so their number is searched too.
"""

import math
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

from ortools.sat.python import cp_model

from sim.search.layer_plan import KvPart, LayerPlan, NanoBatch, PlannedOperation
from sim.search.solo_table import SoloTable

__all__ = ["LayerModel"]

_UNITS = {
    **dict.fromkeys(("KQV", "O", "UpGate", "Down"), "gemm"),
    **dict.fromkeys(("DecodeAttention", "PrefillAttention"), "gemv"),
}
"""Unit of each kernel; the others are collectives."""

_SHIFTS = (-2, -1, 0, 1)
"""k: with two layers in flight, starts of one layer's operations lie less than two periods apart."""


@dataclass(kw_only=True)
class _Interval:
    """An operation that may be absent; ``present`` is None if it never is."""

    name: str
    operation: str
    unit: str
    kernel: str
    batch: int
    part: int
    start: Any
    end: Any
    duration: Any
    present: Any = None

    @property
    def literals(self) -> list[Any]:
        return [] if self.present is None else [self.present]


@dataclass(kw_only=True)
class _Batch:
    """Variables of one nano-batch."""

    decode: list[Any] = field(default_factory=list)
    prefill: list[Any] = field(default_factory=list)
    chunks: Any = None
    present: Any = None
    reduces: Any = None
    has_prefill: Any = None


class LayerModel:
    """Variables and constraints of a layer with at most ``n_batches`` nano-batches of ``n_parts`` parts.

    Parameters
    ----------
    table : kernel times
    n_batches : most nano-batches
    n_parts : most parts of a nano-batch
    tick_us : resolution of time; durations are rounded to it
    upper_us : a period already known to be possible
    round_up : round durations up, so that a schedule found holds on any finer clock
    """

    def __init__(
        self, table: SoloTable, *, n_batches: int, n_parts: int, tick_us: float, upper_us: float, round_up: bool = False
    ) -> None:
        self.table, self.n_parts, self.tick_us = table, n_parts, tick_us
        self._round = math.ceil if round_up else round
        self.model = cp_model.CpModel()
        upper = round(upper_us / tick_us) + 1
        self.period = self.model.new_int_var(1, upper, "period")
        self._horizon = 2 * upper
        self._intervals: dict[str, _Interval] = {}
        self._batches = [_Batch() for _ in range(n_batches)]
        self._deal_chunks()
        if table.prefill_chunks:
            self._interval("PrefillAttention", self._ticks(table.us["PrefillAttention"][table.prefill_chunks]))
        for number in range(n_batches):
            self._add_batch(number)
        self._share_units()
        first = self._intervals["KQV1.1"]
        self.model.add(first.start == 0)
        self.model.minimize(self.period)

    def hint(self, plan: LayerPlan) -> None:
        """Start the search from a plan; what does not fit these variables is left out."""
        for number, batch in enumerate(plan.nano_batches[: len(self._batches)]):
            mine = self._batches[number]
            for part, sizes in enumerate(batch.parts[: self.n_parts]):
                self.model.add_hint(mine.decode[part], sizes.decode_chunks)
                self.model.add_hint(mine.prefill[part], sizes.prefill_chunks)
            for part in range(len(batch.parts), self.n_parts):
                self.model.add_hint(mine.decode[part], 0)
                self.model.add_hint(mine.prefill[part], 0)
            self.model.add_hint(mine.reduces, batch.output == "all_reduce")
        for mine in self._batches[len(plan.nano_batches) :]:
            for size in (*mine.decode, *mine.prefill):
                self.model.add_hint(size, 0)
        for operation in plan.operations:
            if operation.name in self._intervals:
                self.model.add_hint(self._intervals[operation.name].start, round(operation.start_us / self.tick_us))
        self.model.add_hint(self.period, round(plan.period_us / self.tick_us))

    def plan(self, value: Any, bound: float) -> LayerPlan:
        """The plan of a solution; ``value`` gives a variable's value, ``bound`` is the solver's, in ticks."""
        batches, number_of = [], {}
        for number, mine in enumerate(self._batches):
            if not value(mine.chunks):
                continue
            number_of[number] = len(batches)
            parts = [
                KvPart(decode_chunks=value(decode), prefill_chunks=value(prefill))
                for decode, prefill in zip(mine.decode, mine.prefill, strict=True)
            ]
            output = "all_reduce" if value(mine.reduces) else "all_gather"
            batches.append(NanoBatch(parts=tuple(parts), output=output))
        operations = [
            PlannedOperation(
                name=each.name,
                operation=each.operation,
                unit=each.unit,
                kernel=self._kernel(each, value),
                batch=number_of.get(each.batch, -1),
                part=each.part,
                start_us=value(each.start) * self.tick_us,
                duration_us=value(each.duration) * self.tick_us,
            )
            for each in self._intervals.values()
            if each.present is None or value(each.present)
        ]
        return LayerPlan(
            nano_batches=tuple(batches),
            operations=tuple(sorted(operations, key=lambda each: (each.start_us, each.name))),
            period_us=value(self.period) * self.tick_us,
            bound_us=bound * self.tick_us,
        )

    def _kernel(self, each: _Interval, value: Any) -> str:
        if each.operation != "OutputCollective":
            return each.kernel
        return "OutputAllReduce" if value(self._batches[each.batch].reduces) else "OutputAllGather"

    def _ticks(self, us: float) -> int:
        return self._round(us / self.tick_us)

    def _deal_chunks(self) -> None:
        """Every chunk to one part; chunks of a kind are interchangeable, so their numbers say it all."""
        model, table = self.model, self.table
        for number, batch in enumerate(self._batches):
            for part in range(self.n_parts):
                batch.decode.append(model.new_int_var(0, table.decode_chunks, f"decode{number}.{part}"))
                batch.prefill.append(model.new_int_var(0, table.prefill_chunks, f"prefill{number}.{part}"))
            batch.chunks = model.new_int_var(0, table.n_chunks, f"chunks{number}")
            model.add(batch.chunks == sum(batch.decode) + sum(batch.prefill))
            batch.present = self._positive(batch.chunks)
            batch.has_prefill = self._positive(sum(batch.prefill))
            batch.reduces = model.new_bool_var(f"reduces{number}")
        model.add(sum(size for batch in self._batches for size in batch.decode) == table.decode_chunks)
        model.add(sum(size for batch in self._batches for size in batch.prefill) == table.prefill_chunks)
        first = self._batches[0]
        model.add(first.decode[0] + first.prefill[0] >= 1)  # the layer begins with it

    def _add_batch(self, number: int) -> None:
        model, batch = self.model, self._batches[number]
        present = batch.present
        output, up, down = (
            self._interval(kernel, self._time(kernel, batch.chunks), batch=number, present=present)
            for kernel in ("O", "UpGate", "Down")
        )
        gathered, last = output, down
        chain = [output, up, down]
        if self.table.networked:
            gathered, collective, last = self._add_collectives(number)
            chain = [output, collective, up, down, last]
            self._after(gathered, output, [gathered.present])
        else:
            model.add(batch.reduces == 0)
        for before, after in pairwise(chain):
            self._after(before, after, [present])
        targets = [output] if gathered is output else [gathered, output]
        for part in range(self.n_parts):
            self._add_part(number, part, last, targets)
        if "PrefillAttention" in self._intervals:
            for target in targets:
                self._after(self._intervals["PrefillAttention"], target, [batch.has_prefill, *target.literals])

    def _add_collectives(self, number: int) -> tuple[_Interval, _Interval, _Interval]:
        """All-gather of the attention (if O is split by columns), collective after O, all-reduce after Down."""
        model, batch = self.model, self._batches[number]
        gathers = model.new_bool_var(f"gathers{number}")
        model.add_bool_and([batch.present, batch.reduces.negated()]).only_enforce_if(gathers)
        model.add_bool_or([batch.present.negated(), batch.reduces]).only_enforce_if(gathers.negated())
        before = self._chosen(self._time("AttentionAllGather", batch.chunks), None, batch.reduces)
        after = self._chosen(
            self._time("OutputAllGather", batch.chunks), self._time("OutputAllReduce", batch.chunks), batch.reduces
        )
        end = self._time("DownAllReduce", batch.chunks)
        return (
            self._interval("AttentionAllGather", before, batch=number, present=gathers),
            self._interval("OutputAllGather", after, batch=number, present=batch.present, operation="OutputCollective"),
            self._interval("DownAllReduce", end, batch=number, present=batch.present),
        )

    def _add_part(self, number: int, part: int, last: _Interval, targets: list[_Interval]) -> None:
        decode, prefill = self._batches[number].decode[part], self._batches[number].prefill[part]
        label = f"{number + 1}.{part + 1}"
        chunks = self.model.new_int_var(0, self.table.n_chunks, f"chunks{label}")
        self.model.add(chunks == decode + prefill)
        has_decode, has_prefill = self._positive(decode), self._positive(prefill)
        present, time = self._positive(chunks), self._time("KQV", chunks)
        kqv = self._interval("KQV", time, batch=number, part=part, present=present)
        self._after(last, kqv, [present], layers=1)
        time = self._time("DecodeAttention", decode)
        attention = self._interval("DecodeAttention", time, batch=number, part=part, present=has_decode)
        self._after(kqv, attention, [has_decode])
        for target in targets:
            self._after(attention, target, [has_decode, *target.literals])
        if "PrefillAttention" in self._intervals:
            self._after(kqv, self._intervals["PrefillAttention"], [has_prefill])

    def _interval(
        self, kernel: str, duration: Any, *, batch: int = -1, part: int = -1, present: Any = None,
        operation: str | None = None,
    ) -> _Interval:  # fmt: skip
        """An operation on its unit, named after its kernel or ``operation`` and its nano-batch and part."""
        label = "" if batch < 0 else f"{batch + 1}" if part < 0 else f"{batch + 1}.{part + 1}"
        name, unit = f"{operation or kernel}{label}", _UNITS.get(kernel, "network")
        operation = "Attention" if unit == "gemv" else operation or kernel
        start = self.model.new_int_var(0, self._horizon, f"start {name}")
        end = self.model.new_int_var(0, self._horizon, f"end {name}")
        self.model.add(end == start + duration)
        # two layers in flight: the layer after the next opens when this one is complete
        self.model.add(end <= 2 * self.period)
        self._intervals[name] = _Interval(
            name=name, operation=operation, unit=unit, kernel=kernel, batch=batch, part=part,
            start=start, end=end, duration=duration, present=present,
        )  # fmt: skip
        return self._intervals[name]

    def _after(self, before: _Interval, after: _Interval, literals: list[Any], layers: int = 0) -> None:
        """``after`` starts when ``before``, ``layers`` layers earlier, is done."""
        self.model.add(after.start >= before.end - layers * self.period).only_enforce_if(literals)

    def _time(self, kernel: str, chunks: Any) -> Any:
        times = [self._ticks(us) for us in self.table.us[kernel]]
        time = self.model.new_int_var(0, max(times), f"time {kernel}")
        self.model.add_element(chunks, times, time)
        return time

    def _chosen(self, otherwise: Any, then: Any, condition: Any) -> Any:
        """``then`` (nothing if None) where the condition holds."""
        chosen = self.model.new_int_var(0, self._horizon, "chosen")
        self.model.add(chosen == (0 if then is None else then)).only_enforce_if(condition)
        self.model.add(chosen == otherwise).only_enforce_if(condition.negated())
        return chosen

    def _positive(self, value: Any) -> Any:
        positive = self.model.new_bool_var("positive")
        self.model.add(value >= 1).only_enforce_if(positive)
        self.model.add(value == 0).only_enforce_if(positive.negated())
        return positive

    def _share_units(self) -> None:
        """No two operations of a unit at once, in any pair of layers; and a unit's work fits into a period."""
        for unit in ("gemm", "gemv", "network"):
            mine = [each for each in self._intervals.values() if each.unit == unit]
            self.model.add(self.period >= sum(each.duration for each in mine))
            for one, other in combinations(mine, 2):
                both = [*one.literals, *other.literals]
                choices = []
                for shift in _SHIFTS:
                    chosen = self.model.new_bool_var("shift")
                    choices.append(chosen)
                    self.model.add(one.end + shift * self.period <= other.start).only_enforce_if([chosen, *both])
                    self.model.add(other.end <= one.start + (shift + 1) * self.period).only_enforce_if([chosen, *both])
                self.model.add_exactly_one(choices)
