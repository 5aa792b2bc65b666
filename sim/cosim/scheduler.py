"""Runs a program on the scheduler unit's RTL with units that take a given number of clocks, in blocks of cycles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, PackedProgram, index_bits, pack_program
from arch.errors import InputError
from arch.program import Program
from arch.scheduler import SchedulerConfig
from rtl.scheduler.scheduler_unit import CYCLE_BITS, SchedulerUnit
from rtl.scheduler.signature import load_layout, load_signature
from rtl.scheduler.trace_stream import record_layout, stalls_layout
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

__all__ = ["SchedulerRun", "SchedulerSimulator", "SchedulerTrace", "TimedScheduler", "load_payloads", "run_program"]

_DURATION_BITS = 40


@dataclass(frozen=True, kw_only=True)
class SchedulerTrace:
    """What the RTL's trace said, in clocks after ``start``; arrays are (iterations, nano-operations) int64.

    Parameters
    ----------
    ready_clk, issued_clk, started_clk, completed_clk : the four stamps
    stalls : by cause (``dependency``, ``unit``, ``share``) and ``busy``, clocks of each unit of the program
    credits : credits of each pool of the program held by what works, summed over the clocks
    """

    ready_clk: np.ndarray
    issued_clk: np.ndarray
    started_clk: np.ndarray
    completed_clk: np.ndarray
    stalls: Mapping[str, list[int]]
    credits: list[int]


@dataclass(frozen=True, kw_only=True)
class SchedulerRun:
    """What the RTL did, in clocks after ``start``; arrays are (iterations, nano-operations) int64.

    Parameters
    ----------
    issue_clk, complete_clk : handshake at the issue port, and completion pulse
    cycles : clock in which the unit reported the end of the program
    trace : of a build with one
    """

    issue_clk: np.ndarray
    complete_clk: np.ndarray
    cycles: int
    trace: SchedulerTrace | None = None


class TimedScheduler(wiring.Component):
    """The scheduler unit with units that accept at once and complete after a loaded number of clocks.

    For simulation only: a ``trace`` record is offered in one clock and lost if it is not taken.

    Parameters
    ----------
    config : the scheduler unit
    n_iterations : iterations with durations of their own, a power of two; later ones begin again with the first

    Members
    -------
    load : In(stream), as the unit's
    durations : In(stream), clocks from issue to completion of each descriptor in each iteration, at least 1
    go : In(stream), one transfer starts the program
    trace_0 .. trace_{n_units - 1} : Out(stream), one record a completed nano-operation
    records : Out(stream), of a build with ``trace``, the unit's
    finish : Out(stream), clock of the end, and what the counters of a ``trace`` say then
    """

    def __init__(self, config: SchedulerConfig, n_iterations: int = 1) -> None:
        if n_iterations < 1 or n_iterations & n_iterations - 1:
            raise InputError(f"n_iterations of a timed scheduler must be a power of two, not {n_iterations!r}")
        self.config, self.n_iterations = config, n_iterations
        index = index_bits(config.n_descriptors)
        self._turn_bits = n_iterations.bit_length() - 1
        self.duration_layout = data.StructLayout({"index": index + self._turn_bits, "clocks": _DURATION_BITS})
        self.record_layout = data.StructLayout(
            {"index": index, "iteration": COUNT_BITS, "issue": CYCLE_BITS, "complete": CYCLE_BITS}
        )
        counters = dict.fromkeys(stalls_layout().members, data.ArrayLayout(CYCLE_BITS, config.n_units))
        counters |= {"credits": data.ArrayLayout(CYCLE_BITS, config.n_pools), "lost": 1}
        self.finish_layout = data.StructLayout({"cycle": CYCLE_BITS, **(counters if config.trace else {})})
        traces = {f"trace_{unit}": Out(stream.Signature(self.record_layout)) for unit in range(config.n_units)}
        if config.trace:
            traces["records"] = Out(stream.Signature(record_layout(config)))
        super().__init__(
            {
                "load": In(load_signature(config)),
                "durations": In(stream.Signature(self.duration_layout)),
                "go": In(stream.Signature(data.StructLayout({"start": 1}))),
                **traces,
                "finish": Out(stream.Signature(self.finish_layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = scheduler = SchedulerUnit(self.config)
        wiring.connect(m, wiring.flipped(self.load), scheduler.load)
        depth = self.n_iterations << index_bits(self.config.n_descriptors)
        m.submodules.durations = durations = Memory(shape=unsigned(_DURATION_BITS), depth=depth, init=[])
        write = durations.write_port()
        m.d.comb += [
            self.durations.ready.eq(1),
            self.go.ready.eq(~scheduler.busy),
            scheduler.start.eq(self.go.valid & self.go.ready & self.go.payload.start),
        ]
        m.d.comb += [
            write.en.eq(self.durations.valid),
            write.addr.eq(self.durations.payload.index),
            write.data.eq(self.durations.payload.clocks),
        ]
        for number in range(self.config.n_units):
            self._execute(m, scheduler, number, durations)
        with m.If(scheduler.done):
            m.d.sync += [self.finish.valid.eq(1), self.finish.payload.cycle.eq(scheduler.cycle)]
        with m.Elif(self.finish.ready):
            m.d.sync += self.finish.valid.eq(0)
        if self.config.trace:
            self._trace(m, scheduler)
        return m

    def _trace(self, m: Module, scheduler: SchedulerUnit) -> None:
        """Pass the records on; counters are exact once the program has ended."""
        wiring.connect(m, scheduler.trace, wiring.flipped(self.records))
        result = self.finish.payload
        with m.If(scheduler.done):
            m.d.sync += result.lost.eq(scheduler.trace_lost)
            for name in stalls_layout().members:
                m.d.sync += [result[name][unit].eq(stalls[name]) for unit, stalls in enumerate(scheduler.stalls)]
            m.d.sync += [result.credits[pool].eq(held) for pool, held in enumerate(scheduler.credits)]

    def _execute(self, m: Module, scheduler: SchedulerUnit, number: int, durations: Memory) -> None:
        """One unit: count a nano-operation's clocks down, then complete it."""
        issue, complete = scheduler.issue[number], scheduler.complete[number]
        trace = getattr(self, f"trace_{number}")
        busy = Signal(name=f"busy_{number}")
        left = Signal(_DURATION_BITS, name=f"left_{number}")
        record = trace.payload
        read = durations.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(Cat(issue.payload.index, issue.payload.iteration[: self._turn_bits])),
            issue.ready.eq(~busy),
            complete.valid.eq(busy & (left == 1)),
            complete.index.eq(record.index),
            trace.valid.eq(complete.valid),
            record.complete.eq(scheduler.cycle),
        ]
        with m.If(issue.valid & issue.ready):
            m.d.sync += [
                busy.eq(1),
                left.eq(read.data),
                record.index.eq(issue.payload.index),
                record.iteration.eq(issue.payload.iteration),
                record.issue.eq(scheduler.cycle),
            ]
        with m.Elif(busy):
            m.d.sync += [left.eq(left - 1), busy.eq(left != 1)]


class SchedulerSimulator:
    """The scheduler unit's RTL, built once, for any number of programs one after the other.

    Use as a context manager.

    Parameters
    ----------
    config : the scheduler unit
    n_iterations : iterations with durations of their own, a power of two
    """

    def __init__(self, config: SchedulerConfig, n_iterations: int = 1) -> None:
        self.config = config
        self._bench = TimedScheduler(config, n_iterations)
        self._simulator = RtlSimulator(self._bench, "timed_scheduler")

    def __enter__(self) -> Self:
        self._simulator.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._simulator.__exit__(*error)

    def run(
        self,
        program: Program,
        durations_clk: Sequence[int] | np.ndarray,
        *,
        max_cycles: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> SchedulerRun:
        """Load and run ``program``; units take ``durations_clk`` clocks from issue to completion.

        One duration a nano-operation, or (iterations, nano-operations) of them where they differ from iteration to
        iteration, no more iterations than the simulator was built for.
        ``progress`` is called with nano-operations completed and in all, as the run goes on.

        Raises
        ------
        InputError
            If the program does not fit the unit or does not end within ``max_cycles``.
        """
        bench, packed = self._bench, pack_program(program, self.config)
        port = {name: number for number, name in enumerate(program.units)}
        counts = dict.fromkeys(range(self.config.n_units), 0)
        for nano in program.nano_operations:
            counts[port[nano.unit]] += program.count
        durations = self._durations(np.atleast_2d(np.asarray(durations_clk)), program.count)
        inputs = {
            "load": load_payloads(packed, self.config),
            "durations": pack_payloads(bench.duration_layout, durations),
        }
        self._simulator.run(inputs, {}, max_cycles=4000)
        expect = {"finish": 1, **{f"trace_{unit}": count for unit, count in counts.items()}}
        if self.config.trace:
            expect["records"] = sum(counts.values())
        block = self._simulator.run(
            {"go": np.ones((1, 1), dtype=np.uint32)},
            expect,
            max_cycles=max_cycles,
            progress=progress,
        )
        shape = (program.count, len(program.nano_operations))
        issue, complete = np.full(shape, -1, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
        for unit in counts:
            records = unpack_payloads(bench.record_layout, block.outputs[f"trace_{unit}"])
            issue[records["iteration"], records["index"]] = records["issue"]
            complete[records["iteration"], records["index"]] = records["complete"]
        finish = unpack_payloads(bench.finish_layout, block.outputs["finish"])
        trace = None
        if self.config.trace:
            records = unpack_payloads(record_layout(self.config), block.outputs["records"])
            trace = _trace_of(program, records, finish)
        return SchedulerRun(issue_clk=issue, complete_clk=complete, cycles=int(finish["cycle"][0]), trace=trace)

    def _durations(self, clocks: np.ndarray, count: int) -> dict[str, np.ndarray]:
        """Address and clocks of every entry of the bench's table; one row of clocks serves for every turn."""
        turns, n = self._bench.n_iterations, clocks.shape[1]
        if len(clocks) not in (1, count) or (len(clocks) > 1 and count > turns):
            raise InputError(f"iterations of durations must be 1, or {count} of at most {turns}, not {len(clocks)}")
        rows = np.arange(turns).clip(max=len(clocks) - 1)
        address = np.arange(turns)[:, None] << index_bits(self.config.n_descriptors) | np.arange(n)
        return {"index": address.ravel(), "clocks": clocks[rows].ravel()}


def run_program(
    program: Program,
    config: SchedulerConfig,
    durations_clk: Sequence[int] | np.ndarray,
    *,
    max_cycles: int,
    progress: Callable[[int, int], None] | None = None,
) -> SchedulerRun:
    """Run one program on the RTL, as :meth:`SchedulerSimulator.run` does."""
    several = np.ndim(durations_clk) == 2 and len(durations_clk) > 1
    n_iterations = 1 << (program.count - 1).bit_length() if several else 1
    with SchedulerSimulator(config, n_iterations) as simulator:
        return simulator.run(program, durations_clk, max_cycles=max_cycles, progress=progress)


def _trace_of(program: Program, records: Mapping[str, np.ndarray], finish: Mapping[str, np.ndarray]) -> SchedulerTrace:
    if finish["lost"][0]:
        raise RuntimeError(f"the trace of {program.name} must be whole, but records were lost")
    stamps = {}
    for name in ("ready", "issued", "started", "completed"):
        stamps[name] = np.full((program.count, len(program.nano_operations)), -1, dtype=np.int64)
        stamps[name][records["iteration"], records["index"]] = records[name]
    return SchedulerTrace(
        **{f"{name}_clk": clocks for name, clocks in stamps.items()},
        stalls={name: finish[name][0, : len(program.units)].tolist() for name in stalls_layout().members},
        credits=finish["credits"][0, : len(program.pools)].tolist(),
    )


def load_payloads(packed: PackedProgram, config: SchedulerConfig) -> np.ndarray:
    """The words of a program for the ``load`` stream, (n, words) uint32."""
    layout = load_layout(config)
    rows = []
    for table, address, word in packed.load_words():
        payload = int(table) << layout["table"].offset | address << layout["address"].offset
        payload |= word << layout["data"].offset
        rows.append([payload >> (32 * index) & 0xFFFFFFFF for index in range(-(-layout.size // 32))])
    return np.array(rows, dtype=np.uint32)
