"""Follows a script on the RTL of a supervised scheduler unit: units that fail, and a host that decides, in hardware."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import COUNT_BITS, index_bits, pack_program
from arch.scheduler import SchedulerConfig
from arch.supervision import ATTEMPT_BITS, CAUSE_BITS, DECISION_BITS
from rtl.scheduler.signature import LoadTable, load_signature
from rtl.scheduler.supervised_scheduler import SupervisedScheduler
from rtl.scheduler.supervision_signature import DROPPED_BITS
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.scheduler import load_payloads
from sim.cosim.simulator import RtlSimulator
from sim.engine.supervised_scheduler import UnitEvent, WorldEvent
from sim.engine.supervision_script import Action, Script

__all__ = ["RtlScriptRun", "ScriptedScheduler", "SupervisedSimulator"]

_CLOCK_BITS, _DURATION_BITS, _N_PROGRAMS = 32, 16, 4


@dataclass(frozen=True, kw_only=True)
class RtlScriptRun:
    """What the RTL did; as ``sim.engine.supervised_scheduler.SupervisedRun``.

    ``n_events`` says how many unit events there were, all of which should be in ``unit_events``.
    """

    unit_events: list[UnitEvent]
    world_events: list[WorldEvent]
    causes: int
    end_clk: int
    n_events: int


class ScriptedScheduler(wiring.Component):
    """A supervised unit among units and a host that follow a script (``sim.engine.supervision_script``).

    For simulation only: records are offered in one clock and lost if they are not taken.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    fates : In(stream), a row of the units' table: program, descriptor, fate
    settings : In(stream), one transfer begins a script: the next clock is its first
    load : In(stream), words, taken in a script only
    commands : In(stream)
    unit_0 .. unit_{n_units - 1}, world : Out(stream), records of what happened
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        index, n_units = index_bits(config.n_descriptors), config.n_units
        self.fate_layout = data.StructLayout(
            {
                "clocks": _DURATION_BITS, "accept": 4, "bad_iteration": COUNT_BITS, "n_bad": 2,
                "bad_clocks": _DURATION_BITS, "bad_error": 1,
                "decide": 8, "first": DECISION_BITS, "then": DECISION_BITS,
            }
        )  # fmt: skip
        self.row_layout = data.StructLayout({"program": 2, "index": index, "fate": self.fate_layout})
        limits = data.ArrayLayout(max(1, config.watchdog_bits), n_units)
        self.settings_layout = data.StructLayout({"limits": limits, "drop_failed": 1})
        self.command_layout = data.StructLayout({"action": 3, "at": _CLOCK_BITS})
        self.unit_layout = data.StructLayout(
            {
                "clock": _CLOCK_BITS,
                "issued": 1, "index": index, "iteration": COUNT_BITS, "attempt": ATTEMPT_BITS,
                "completed": 1, "completed_index": index, "completed_attempt": ATTEMPT_BITS, "error": 1,
                "failed": 1, "cause": 2,
            }
        )  # fmt: skip
        self.world_layout = data.StructLayout(
            {
                "clock": _CLOCK_BITS, "begins": 1, "done": 1, "aborted": 1, "dropped": DROPPED_BITS,
                "end": 1, "causes": CAUSE_BITS, "n_events": _CLOCK_BITS,
            }
        )  # fmt: skip
        super().__init__(
            {
                "fates": In(stream.Signature(self.row_layout)),
                "settings": In(stream.Signature(self.settings_layout)),
                "load": In(load_signature(config)),
                "commands": In(stream.Signature(self.command_layout)),
                **{f"unit_{unit}": Out(stream.Signature(self.unit_layout)) for unit in range(n_units)},
                "world": Out(stream.Signature(self.world_layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        unit = SupervisedScheduler(config)
        m.submodules.unit = ResetInserter(self.settings.valid)(unit)
        self._clock, self._on, self._program, self._n_loaded = Signal(_CLOCK_BITS), Signal(), Signal(2), Signal(4)
        self._begins, self._loads = Signal(), Signal()
        m.d.comb += self._begins.eq(unit.begins)
        m.d.sync += self._clock.eq(self._clock + 1)
        settings = Signal(self.settings_layout)
        m.d.comb += [self.settings.ready.eq(1), unit.drop_failed.eq(settings.drop_failed)]
        with m.If(self._begins):
            # no word is taken between a start and the beginning
            m.d.sync += self._program.eq(self._n_loaded - 1)
        with m.If(self.settings.valid):
            m.d.sync += [settings.eq(self.settings.payload), self._clock.eq(0), self._on.eq(1)]
        if config.watchdog_bits:
            m.d.comb += [unit.watchdog_limit[n].eq(settings.limits[n]) for n in range(config.n_units)]
        m.d.comb += [
            unit.load.payload.eq(self.load.payload),
            unit.load.valid.eq(self.load.valid & self._loads),
            self.load.ready.eq(unit.load.ready & self._loads),
        ]
        table = self._fate_table(m)
        n_events = Signal(_CLOCK_BITS)
        for number in range(config.n_units):
            self._execute(m, unit, number, table)
        records = [getattr(self, f"unit_{number}") for number in range(config.n_units)]
        m.d.sync += n_events.eq(n_events + sum(record.valid & self._on for record in records))
        with m.If(self.settings.valid):
            m.d.sync += n_events.eq(0)
        self._host(m, unit, n_events)
        return m

    def _fate_table(self, m: Module) -> memory.Memory:
        depth = _N_PROGRAMS << index_bits(self.config.n_descriptors)
        m.submodules.fates = table = memory.Memory(shape=self.fate_layout, depth=depth, init=[])
        write, row = table.write_port(), self.fates.payload
        m.d.comb += [
            self.fates.ready.eq(1),
            write.en.eq(self.fates.valid),
            write.addr.eq(Cat(row.index, row.program)),
            write.data.eq(row.fate),
        ]
        return table

    def _execute(self, m: Module, unit: SupervisedScheduler, number: int, table: memory.Memory) -> None:
        """One unit from outside; an execution before the last one may still be on its way to its completion."""
        issue, complete, status = unit.issue[number], unit.complete[number], unit.status[number]
        at = issue.payload
        read = table.read_port(domain="comb")
        failed = Signal(name=f"was_failed{number}")
        looked_up = Mux(unit.failed[number], status.index, at.index)
        m.d.comb += read.addr.eq(Cat(looked_up, self._program))
        fate = read.data
        work = data.StructLayout(
            {"left": _DURATION_BITS, "index": at.index.shape(), "attempt": ATTEMPT_BITS, "error": 1}
        )
        main, older = Signal(work, name=f"main{number}"), Signal(work, name=f"older{number}")
        due, older_due = main.left == 1, older.left == 1
        waited, accepts = Signal(4, name=f"waited{number}"), Signal(name=f"accepts{number}")
        # the nano-operation that failed last, and how often in a row
        key, known = Signal(data.StructLayout({"index": at.index.shape(), "iteration": COUNT_BITS})), Signal()
        n_failures, since = Signal(4, name=f"n_failures{number}"), Signal(9, name=f"since{number}")
        before = Mux(known & (key.index == at.index) & (key.iteration == at.iteration), n_failures, 0)
        bad = (at.iteration == fate.bad_iteration) & (before < fate.n_bad)
        m.d.comb += [
            issue.ready.eq(waited >= fate.accept),
            accepts.eq(issue.valid & issue.ready),
            complete.valid.eq(due | older_due),
            complete.index.eq(Mux(due, main.index, older.index)),
            complete.attempt.eq(Mux(due, main.attempt, older.attempt)),
            complete.error.eq(Mux(due, main.error, older.error)),
        ]
        m.d.sync += waited.eq(Mux(issue.valid & ~issue.ready, waited + 1, 0))
        with m.If(main.left != 0):
            m.d.sync += main.left.eq(main.left - 1)
        with m.If((older.left != 0) & ~(older_due & due)):
            m.d.sync += older.left.eq(older.left - 1)
        with m.If(accepts):
            m.d.sync += [
                main.left.eq(Mux(bad, fate.bad_clocks, fate.clocks)),
                main.index.eq(at.index),
                main.attempt.eq(at.attempt),
                main.error.eq(bad & fate.bad_error),
            ]
            with m.If(main.left > 1):
                m.d.sync += [older.eq(main), older.left.eq(main.left - 1)]
        is_same = known & (key.index == status.index) & (key.iteration == status.iteration)
        fails = unit.failed[number] & ~failed
        m.d.sync += [failed.eq(unit.failed[number]), since.eq(since + 1)]
        failures, clocks = Signal.like(n_failures, name=f"failures{number}"), Signal.like(since, name=f"clocks{number}")
        m.d.comb += [failures.eq(n_failures), clocks.eq(since)]
        with m.If(fails):
            m.d.comb += [failures.eq(Mux(is_same, n_failures, 0) + 1), clocks.eq(0)]
            m.d.sync += [key.index.eq(status.index), key.iteration.eq(status.iteration), known.eq(1)]
            m.d.sync += [n_failures.eq(failures), since.eq(1)]
        with m.If(self._begins | self.settings.valid):
            m.d.sync += known.eq(0)
        with m.If(self.settings.valid):
            m.d.sync += [main.left.eq(0), older.left.eq(0), waited.eq(0), failed.eq(0)]
        with m.If(unit.failed[number] & (clocks == fate.decide)):
            m.d.comb += unit.resolve[number].eq(Mux(failures > 1, fate.then, fate.first))
        self._record(m, unit, number, accepts, fails)

    def _record(self, m: Module, unit: SupervisedScheduler, number: int, accepts: Signal, fails: Signal) -> None:
        out, at, heard = getattr(self, f"unit_{number}"), unit.issue[number].payload, unit.complete[number]
        record = out.payload
        m.d.comb += [
            out.valid.eq(self._on & (accepts | heard.valid | fails)),
            record.clock.eq(self._clock),
            record.issued.eq(accepts),
            record.index.eq(at.index),
            record.iteration.eq(at.iteration),
            record.attempt.eq(at.attempt),
            record.completed.eq(heard.valid),
            record.completed_index.eq(heard.index),
            record.completed_attempt.eq(heard.attempt),
            record.error.eq(heard.error),
            record.failed.eq(fails),
            record.cause.eq(unit.status[number].cause),
        ]

    def _host(self, m: Module, unit: SupervisedScheduler, n_events: Signal) -> None:
        """Carry out the commands, and record what happened."""
        since, n_loaded, n_started = Signal(_CLOCK_BITS), self._n_loaded, Signal(4)
        m.d.comb += self._loads.eq(self._on & (n_loaded <= n_started))
        action, due, heard = self.commands.payload.action, Signal(), Signal()
        m.d.sync += since.eq(since + 1)
        with m.If(unit.load.valid & unit.load.ready & (unit.load.payload.table == LoadTable.CONTROL)):
            m.d.sync += n_loaded.eq(n_loaded + 1)
        with m.If(self._begins | self.settings.valid):
            m.d.sync += since.eq(0)
        # a start that nothing would hear is not given: it waits until the unit takes words again
        asked = Signal()
        if self.config.buffered:
            m.d.sync += asked.eq((asked | unit.start) & ~unit.begins & ~unit.aborted & ~self.settings.valid)
        starts, again = action == Action.START, action == Action.AGAIN
        m.d.comb += heard.eq((again | (n_loaded > n_started)) & ~(asked if self.config.buffered else unit.busy))
        carried_out = Mux(starts | again, heard, Mux(action == Action.END, ~unit.busy, 1))
        m.d.comb += [
            due.eq(self._on & (since >= self.commands.payload.at) & carried_out),
            self.commands.ready.eq(due),
        ]
        ends = Signal()
        with m.If(self.commands.valid & due):
            m.d.comb += [
                unit.start.eq(starts | again),
                unit.abort.eq((action == Action.ABORT) | (action == Action.DISCARD)),
                unit.abort_discard.eq(action == Action.DISCARD),
                ends.eq(action == Action.END),
            ]
            m.d.sync += n_started.eq(n_started + starts)
        with m.If(ends):
            m.d.sync += self._on.eq(0)
        with m.If(self.settings.valid):
            m.d.sync += [n_loaded.eq(0), n_started.eq(0)]
        dropped, record = Signal(DROPPED_BITS), self.world.payload
        m.d.sync += dropped.eq(Mux(self.settings.valid, 0, unit.dropped))
        what = Cat(self._begins, unit.done, unit.aborted, ends, unit.dropped != dropped)
        m.d.comb += [
            self.world.valid.eq(self._on & what.any()),
            record.clock.eq(self._clock),
            record.begins.eq(self._begins),
            record.done.eq(unit.done),
            record.aborted.eq(unit.aborted),
            record.dropped.eq(unit.dropped),
            record.end.eq(ends),
            record.causes.eq(unit.causes),
            record.n_events.eq(n_events),
        ]


class SupervisedSimulator:
    """The RTL of a supervised unit, built once, for any number of scripts one after the other; a context manager.

    Parameters
    ----------
    config : the scheduler unit
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self._bench = ScriptedScheduler(config)
        self._simulator = RtlSimulator(self._bench, "scripted_scheduler")

    def __enter__(self) -> Self:
        self._simulator.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._simulator.__exit__(*error)

    def run(self, script: Script, *, n_unit_events: list[int], n_world_events: int, max_cycles: int) -> RtlScriptRun:
        """Follow a script, and take as many events as it should have.

        Raises
        ------
        InputError
            If it does not end, or has fewer events, within ``max_cycles``.
        """
        script.check(self.config)
        bench, simulator = self._bench, self._simulator
        packed = [pack_program(program, self.config) for program in script.programs]
        simulator.run({"fates": self._fates(script)}, {}, max_cycles=1000)
        limits = np.array([list(script.watchdog_limits)])
        commands = {
            "action": np.array([int(command.action) for command in script.commands]),
            "at": np.array([command.at for command in script.commands]),
        }
        inputs = {
            "settings": pack_payloads(
                bench.settings_layout, {"limits": limits, "drop_failed": np.array([int(script.drop_failed)])}
            ),
            "load": np.concatenate([load_payloads(one, self.config) for one in packed]),
            "commands": pack_payloads(bench.command_layout, commands),
        }
        expect = {f"unit_{unit}": count for unit, count in enumerate(n_unit_events)}
        block = simulator.run(inputs, {**expect, "world": n_world_events + 1}, max_cycles=max_cycles)
        events = []
        for unit in range(self.config.n_units):
            events += _unit_events(unit, unpack_payloads(bench.unit_layout, block.outputs[f"unit_{unit}"]))
        world = unpack_payloads(bench.world_layout, block.outputs["world"])
        ends = int(np.argmax(world["end"]))
        return RtlScriptRun(
            unit_events=sorted(events, key=lambda event: (event.clock, event.unit)),
            world_events=_world_events(world),
            causes=int(world["causes"][ends]),
            end_clk=int(world["clock"][ends]),
            n_events=int(world["n_events"][ends]),
        )

    def _fates(self, script: Script) -> np.ndarray:
        rows = []
        for program, fates in enumerate(script.fates):
            for index, fate in enumerate(fates):
                row = self._bench.row_layout.const(
                    {
                        "program": program,
                        "index": index,
                        "fate": {
                            "clocks": fate.clocks, "accept": fate.accept_clk, "bad_iteration": fate.bad_iteration,
                            "n_bad": fate.n_bad, "bad_clocks": fate.bad_clocks, "bad_error": int(fate.bad_error),
                            "decide": fate.decide_clk, "first": fate.decisions[0], "then": fate.decisions[1],
                        },
                    }
                ).as_value().value  # fmt: skip
                words = -(-self._bench.row_layout.size // 32)
                rows.append([row >> (32 * word) & 0xFFFFFFFF for word in range(words)])
        return np.array(rows, dtype=np.uint32)


def _unit_events(unit: int, records: dict[str, np.ndarray]) -> list[UnitEvent]:
    events = []
    for number in range(len(records["clock"])):
        record = {name: int(column[number]) for name, column in records.items()}
        events.append(
            UnitEvent(
                clock=record["clock"],
                unit=unit,
                issued=(record["index"], record["iteration"], record["attempt"]) if record["issued"] else None,
                completed=(record["completed_index"], record["completed_attempt"], bool(record["error"]))
                if record["completed"]
                else None,
                failed=record["cause"] if record["failed"] else None,
            )
        )
    return events


def _world_events(records: dict[str, np.ndarray]) -> list[WorldEvent]:
    events = []
    for number in range(len(records["clock"])):
        clock, begins, done, aborted, dropped, end = (
            int(records[name][number]) for name in ("clock", "begins", "done", "aborted", "dropped", "end")
        )
        if not end:
            what = {"begins": bool(begins), "done": bool(done), "aborted": bool(aborted)}
            events.append(WorldEvent(clock=clock, **what, dropped=dropped))
    return events
