"""An independent judge of DRAM traces: from the data sheet's rules alone it says whether commands were legal.

It knows nothing of windows, gates or keys, and shares no rule with ``sim.memory.dram``: it reads the timings of the
configuration, compares each command with all earlier ones near enough to matter, and keeps its own bank states.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil

from arch.memory import DramConfig
from sim.memory.dram import Command

__all__ = ["protocol_violations"]

_POSTPONED = 8
"""Refreshes that may be outstanding, the standards' largest number."""


def protocol_violations(dram: DramConfig, trace: Iterable[Command]) -> Iterator[str]:
    """Every rule the trace broke, one sentence each; nothing if it was legal.

    Checked are: bank states, all distances between two commands of a pseudo-channel, tFAW, the command buses that
    pseudo-channels share, the data bus, and the number of refreshes.
    """
    rules = _Rules(dram)
    by_bus: dict[int, list[Command]] = {}
    by_channel: dict[int, list[Command]] = {}
    for command in trace:
        by_bus.setdefault(command.bus, []).append(command)
        by_channel.setdefault(command.bus // dram.n_pseudo_channels, []).append(command)
    for commands in by_bus.values():
        yield from _states(commands)
        yield from _distances(rules, commands)
        yield from _activation_window(rules, commands)
        yield from _data_bus(rules, commands)
        yield from _refreshes(rules, commands)
    for commands in by_channel.values():
        yield from _command_buses(rules, commands)


class _Rules:
    """Timings in ticks of half a clock; nanoseconds round up to whole clocks, exactly."""

    def __init__(self, dram: DramConfig) -> None:
        self.dram = dram
        timing = dram.timing
        clock = Fraction(dram.clock_hz) / 10**9
        for name, value in vars(timing).items():
            if name.endswith("_ns"):
                exact = Fraction(str(value)) * clock
                setattr(self, name.removesuffix("_ns"), 2 * ceil(exact - Fraction(1, 10**6)))
            else:
                setattr(self, name.removesuffix("_clk"), int(2 * value))
        self.burst = round(2 * dram.burst_length * dram.clock_hz / dram.data_rate_bits_per_s)
        self.horizon = 2 * max(value for name, value in vars(self).items() if name.startswith("t") and name != "trefi")

    def distance(self, first: Command, second: Command) -> Iterator[tuple[int, str]]:  # noqa: PLR0912 - a case a rule
        """Least ticks between two commands of a pseudo-channel, with the rule's name."""
        every = first.bank is None or second.bank is None
        bank = every or first.bank == second.bank
        group = not every and first.bank // self.dram.n_banks_per_group == second.bank // self.dram.n_banks_per_group
        wrote = self.tcwl + self.burst
        match first.name, second.name:
            case "ACT", "ACT":
                yield (self.trrd_l, "tRRD_L") if group else (self.trrd_s, "tRRD_S")
                if bank:
                    yield self.trc, "tRC"
            case "ACT", "RD" if bank:
                yield self.trcd_rd, "tRCDRD"
            case "ACT", "WR" if bank:
                yield self.trcd_wr, "tRCDWR"
            case "ACT", "PRE" if bank:
                yield self.tras, "tRAS"
            case "ACT", "REF":
                yield (self.trc, "tRC") if bank else (self.trrd_s, "tRRD_S")
            case "PRE", "ACT" if bank:
                yield self.trp, "tRP"
            case "PRE", "REF" if bank:
                yield self.trp, "tRP"
            case "PRE", "PRE":
                yield self.tppd, "tPPD"
            case "RD", "PRE" if bank:
                yield self.trtp, "tRTP"
            case "WR", "PRE" if bank:
                yield wrote + self.twr, "tWR"
            case ("RD", "RD") | ("WR", "WR"):
                yield (self.tccd_l, "tCCD_L") if group else (self.tccd_s, "tCCD_S")
            case "RD", "WR":
                yield self.trtw, "tRTW"
            case "WR", "RD":
                yield (wrote + self.twtr_l, "tWTR_L") if group else (wrote + self.twtr_s, "tWTR_S")
            case "REF", "ACT" if every:
                yield self.trfc, "tRFC"
            case "REF", "REF" if every:
                yield self.trfc, "tRFC"
            case "REF", "ACT":
                yield (self.trfc_pb, "tRFCpb") if bank else (self.trrefd, "tRREFD")
            case "REF", "REF":
                yield (self.trfc_pb, "tRFCpb") if bank else (self.tpbr2pbr, "tPBR2PBR")


def _name(command: Command) -> str:
    where = "all banks" if command.bank is None else f"bank {command.bank}"
    return f"{command.name} of {where} on bus {command.bus} at tick {command.tick}"


def _states(commands: list[Command]) -> Iterator[str]:
    opened: dict[int, int] = {}
    for command in commands:
        row = opened.get(command.bank) if command.bank is not None else None
        if command.name == "ACT":
            if row is not None:
                yield f"{_name(command)} found row {row} open"
            opened[command.bank] = command.row
        elif command.name == "PRE":
            if opened.pop(command.bank, None) is None:
                yield f"{_name(command)} found no row open"
        elif command.name == "REF":
            if row is not None or (command.bank is None and opened):
                yield f"{_name(command)} found a row open"
        elif row != command.row:
            yield f"{_name(command)} wanted row {command.row} and found {row}"


def _distances(rules: _Rules, commands: list[Command]) -> Iterator[str]:
    oldest = 0
    for number, second in enumerate(commands):
        while commands[oldest].tick < second.tick - rules.horizon:
            oldest += 1
        for first in commands[oldest:number]:
            for ticks, rule in rules.distance(first, second):
                if second.tick - first.tick < ticks:
                    yield f"{_name(second)} broke {rule} of {ticks} ticks after {_name(first)}"


def _activation_window(rules: _Rules, commands: list[Command]) -> Iterator[str]:
    acts = [command for command in commands if command.name == "ACT"]
    for first, fifth in zip(acts, acts[4:], strict=False):
        if fifth.tick - first.tick < rules.tfaw:
            yield f"{_name(fifth)} broke tFAW of {rules.tfaw} ticks after {_name(first)}"


def _data_bus(rules: _Rules, commands: list[Command]) -> Iterator[str]:
    latency = {"RD": rules.tcl, "WR": rules.tcwl}
    bursts = sorted(
        ((command.tick + latency[command.name], command) for command in commands if command.name in latency),
        key=lambda burst: burst[0],
    )
    for (begin, first), (following, second) in pairwise(bursts):
        if following < begin + rules.burst:
            yield f"data of {_name(second)} met data of {_name(first)}"


def _command_buses(rules: _Rules, commands: list[Command]) -> Iterator[str]:
    hold = {"ACT": rules.act, "PRE": rules.pre, "REF": rules.refresh, "RD": rules.column, "WR": rules.column}
    column = {"RD", "WR"}
    free = {True: 0, False: 0}
    for command in commands:
        bus = rules.dram.separate_row_bus and command.name in column
        if command.tick < free[bus]:
            yield f"{_name(command)} found its command bus busy until {free[bus]}"
        free[bus] = command.tick + hold[command.name]


def _refreshes(rules: _Rules, commands: list[Command]) -> Iterator[str]:
    banks = 1 if rules.dram.refresh == "all_bank" else rules.dram.n_banks
    refreshes = [command for command in commands if command.name == "REF"]
    due = commands[-1].tick * banks // rules.trefi
    if len(refreshes) < due - _POSTPONED:
        yield f"bus {commands[0].bus} had {len(refreshes)} refreshes where {due} were due"
    for first in range(0, len(refreshes) - banks + 1, banks):
        if len({command.bank for command in refreshes[first : first + banks]}) < banks:
            yield f"{_name(refreshes[first])} began a round that left a bank out"
