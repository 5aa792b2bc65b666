"""DRAM timing: requests in, time of each command out, under every constraint of the device.

A request is one burst. Channels know nothing of one another; each is run from command to command
(``sim.memory.dram_kernel``); the constraints are declared here, as data.
"""

from dataclasses import dataclass
from time import thread_time
from typing import Any

import numpy as np

from arch.errors import InputError
from arch.memory import TICKS_PER_CLOCK, ControllerConfig, DramConfig
from sim.memory import dram_fields as f
from sim.memory.address_map import SortedRequests, sort_requests
from sim.memory.dram_kernel import run_channels
from sim.memory.dram_lanes import BANKS
from sim.memory.dram_state import new_state

__all__ = ["Command", "DramRun", "TimingConstraint", "constraints", "run_dram"]

_LEVELS = ("bank", "group", "pseudo_channel")
_MOST_REQUESTS = 1 << 27
_LATEST_NS = 1e9
_WORD_BITS = 64


@dataclass(frozen=True, kw_only=True)
class TimingConstraint:
    """``following`` comes at least ``ticks`` after ``preceding`` within one ``level``, because of ``reason``."""

    level: str
    preceding: str
    following: str
    ticks: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command on a bus; ``bank`` counts within the pseudo-channel and is None for an all-bank refresh, ``row`` is
    the row it opens, uses or closes."""

    tick: int
    bus: int
    name: str
    bank: int | None
    row: int


@dataclass(frozen=True, kw_only=True)
class DramRun:
    """What came of a run.

    Parameters
    ----------
    dram : what it ran on
    requests : bursts
    row_hits, row_misses, row_conflicts : requests that found their row open, their bank closed, another row open; a
        row that a refresh closed counts as a miss
    last_ns : end of the last data, from the first tick on
    mean_latency_ns : from entering the controller's window to the end of the data, over reads and writes
    commands, refreshes, turnarounds : issued by all pseudo-channels; a turnaround is a change between reading and
        writing
    bytes_per_bus : (n_buses,) bytes each pseudo-channel served: a burst for each RD and WR it issued
    bytes_written : of them, those of WR
    served_sum : sum of the numbers of the requests that RD and WR were issued for, numbered from 0 in the order in
        which the buses take them
    seconds : the model's own processor time, of the one core it runs on
    finished_ns : (requests,) end of each request's data, if asked for
    trace : commands in order of time, if asked for
    """

    dram: DramConfig
    requests: int
    row_hits: int
    row_misses: int
    row_conflicts: int
    last_ns: float
    mean_latency_ns: float
    commands: int
    refreshes: int
    turnarounds: int
    bytes_per_bus: np.ndarray
    bytes_written: int
    served_sum: int
    seconds: float
    finished_ns: np.ndarray | None = None
    trace: tuple[Command, ...] | None = None

    @property
    def bytes_served(self) -> int:
        """Bytes of all bursts."""
        return int(self.bytes_per_bus.sum())

    @property
    def bytes_per_s(self) -> float:
        """Bytes served over the time until the last of them; 0 for no requests."""
        return self.bytes_served / self.last_ns * 1e9 if self.requests else 0.0

    @property
    def fraction_of_peak(self) -> float:
        """Of all data pins busy."""
        return self.bytes_per_s / self.dram.peak_bytes_per_s

    def check_balance(self) -> None:
        """Every request was served, and none of them twice.

        Raises
        ------
        RuntimeError
            If not: a defect of the model, whose times would mean nothing.
        """
        asked = self.requests * self.dram.burst_bytes
        once = self.requests * (self.requests - 1) // 2
        if self.bytes_served != asked or self.served_sum != once:
            raise RuntimeError(
                f"requests out of balance: {asked} bytes asked for and {self.bytes_served} served by the DRAM, whose "
                f"requests' numbers add up to {self.served_sum} instead of {once}"
            )


def constraints(dram: DramConfig) -> tuple[TimingConstraint, ...]:
    """Every distance between two commands that a device of ``dram`` asks for, but tFAW and the command buses."""
    t = dram.ticks
    burst = dram.burst_clk * TICKS_PER_CLOCK
    written = t("tcwl") + burst
    close = "PRE before a refresh"
    rules = [
        ("bank", "ACT", "RD", t("trcd_rd"), "tRCDRD"),
        ("bank", "ACT", "WR", t("trcd_wr"), "tRCDWR"),
        ("bank", "ACT", "PRE", t("tras"), "tRAS"),
        ("bank", "ACT", "ACT", t("trc"), "tRC"),
        ("bank", "PRE", "ACT", t("trp"), "tRP"),
        ("bank", "RD", "PRE", t("trtp"), "tRTP"),
        ("bank", "WR", "PRE", written + t("twr"), "tCWL + burst + tWR"),
        ("bank", "ACT", "REF", t("trc"), "tRC"),
        ("bank", "PRE", "REF", t("trp"), close),
        ("group", "ACT", "ACT", t("trrd_l"), "tRRD_L"),
        ("group", "RD", "RD", t("tccd_l"), "tCCD_L"),
        ("group", "WR", "WR", t("tccd_l"), "tCCD_L"),
        ("group", "WR", "RD", written + t("twtr_l"), "tCWL + burst + tWTR_L"),
        ("pseudo_channel", "ACT", "ACT", t("trrd_s"), "tRRD_S"),
        ("pseudo_channel", "RD", "RD", max(t("tccd_s"), burst), "tCCD_S, burst"),
        ("pseudo_channel", "WR", "WR", max(t("tccd_s"), burst), "tCCD_S, burst"),
        ("pseudo_channel", "RD", "WR", max(t("trtw"), t("tcl") + burst - t("tcwl")), "tRTW"),
        ("pseudo_channel", "WR", "RD", written + t("twtr_s"), "tCWL + burst + tWTR_S"),
        ("pseudo_channel", "PRE", "PRE", t("tppd"), "tPPD"),
    ]
    if dram.refresh == "per_bank":
        rules += [
            ("bank", "REF", "ACT", t("trfc_pb"), "tRFCpb"),
            ("pseudo_channel", "REF", "ACT", t("trrefd"), "tRREFD"),
            ("pseudo_channel", "REF", "REF", t("tpbr2pbr"), "tPBR2PBR"),
            ("pseudo_channel", "ACT", "REF", t("trrd_s"), "tRRD_S"),
        ]
    else:
        rules += [
            ("pseudo_channel", "REF", "ACT", t("trfc"), "tRFC"),
            ("pseudo_channel", "REF", "REF", t("trfc"), "tRFC"),
        ]
    return tuple(
        TimingConstraint(level=level, preceding=before, following=after, ticks=ticks, reason=reason)
        for level, before, after, ticks, reason in rules
    )


def run_dram(
    dram: DramConfig,
    controller: ControllerConfig,
    addresses: np.ndarray,
    *,
    writes: np.ndarray | None = None,
    arrival_ns: np.ndarray | None = None,
    finished: bool = False,
    trace: bool = False,
) -> DramRun:
    """Serve requests in their order of arrival.

    Parameters
    ----------
    dram, controller : the memory
    addresses : (requests,) int64 byte addresses; each asks for the burst it lies in
    writes : (requests,) which of them write; none if left out
    arrival_ns : (requests,) when each reaches its controller, not falling; all at once if left out, so that the
        windows are always full
    finished : keep the end of each request's data
    trace : keep every command; meant for short runs

    Raises
    ------
    InputError
        If an array has the wrong shape, or an address lies outside the memory.
    RuntimeError
        If a request was lost or served twice: a defect of the model.
    """
    addresses = np.ascontiguousarray(addresses, dtype=np.int64)
    if addresses.ndim != 1 or len(addresses) > _MOST_REQUESTS:
        raise InputError(f"addresses must be a vector of up to 2**27, not of shape {addresses.shape}")
    if writes is None:
        writes = np.zeros(len(addresses), dtype=np.uint8)
    writes = np.ascontiguousarray(writes).astype(np.uint8, copy=False)
    arrival = np.zeros(0) if arrival_ns is None else np.asarray(arrival_ns, dtype=np.float64)
    for name, array in (("writes", writes), ("arrival_ns", addresses if arrival_ns is None else arrival)):
        if array.shape != addresses.shape:
            raise InputError(f"{name} must have the shape of addresses, {addresses.shape}, not {array.shape}")
    if len(arrival) and not (arrival[0] >= 0 and np.all(np.diff(arrival) >= 0) and arrival[-1] <= _LATEST_NS):
        raise InputError(f"arrival_ns must rise from 0 or more to {_LATEST_NS:g} at most, not fall or pass that")
    begun = thread_time()
    requests = sort_requests(dram, controller.mapping, addresses, writes, positions=finished or len(arrival) > 0)
    ends = np.zeros(len(addresses) if finished else 0, dtype=np.int64)
    commands = np.zeros((5 * len(addresses) + 4096 * dram.n_buses if trace else 0, 5), dtype=np.int64)
    sums = np.zeros(f.N_SUMS, dtype=np.int64)
    ticks = np.ceil(arrival / dram.tick_ns).astype(np.int64)
    words, pc = new_state(dram, controller, _latencies(dram))
    state = np.zeros(f.IN_TURN << 4, dtype=np.int64)
    served = np.zeros((dram.n_buses, 2, 4), dtype=np.int64)
    run_channels(words, pc, state, *_parameters(dram, controller, requests, ticks), sums, served, ends, commands)
    seconds = thread_time() - begun
    found = served.sum(axis=(0, 1))
    _, written = served.sum(axis=(0, 2)).tolist()
    run = DramRun(
        dram=dram,
        requests=len(addresses),
        row_hits=int(found[0]),
        row_misses=int(found[f.MISS]),
        row_conflicts=int(found[f.CONFLICT]),
        last_ns=float(sums[f.LAST]) * dram.tick_ns,
        mean_latency_ns=float(sums[f.LATENCY_SUM]) * dram.tick_ns / max(1, len(addresses)),
        commands=int(sums[f.N_COMMANDS]),
        refreshes=int(sums[f.N_REFRESHES]),
        turnarounds=int(sums[f.N_TURNS]),
        bytes_per_bus=served.sum(axis=(1, 2)) * dram.burst_bytes,
        bytes_written=written * dram.burst_bytes,
        served_sum=int(sums[f.REQUEST_SUM]),
        seconds=seconds,
        finished_ns=ends * dram.tick_ns if finished else None,
        trace=_commands(dram, commands[: sums[f.N_COMMANDS]]) if trace else None,
    )
    run.check_balance()
    return run


def _parameters(
    dram: DramConfig, controller: ControllerConfig, requests: SortedRequests, arrival: np.ndarray
) -> tuple[Any, ...]:
    """From ``pcs`` to ``refresh``, what :func:`sim.memory.dram_kernel.run_channels` asks for."""
    t = dram.ticks
    burst = TICKS_PER_CLOCK * dram.burst_clk
    per_bank = dram.refresh == "per_bank"
    pcs, blocks = (0,) * dram.n_pseudo_channels, (0,) * -(-dram.n_banks // BANKS)
    shape = (dram.n_banks, dram.n_banks_per_group.bit_length() - 1, int(not dram.separate_row_bus))
    windows = (controller.read_window, controller.write_window, controller.write_low, controller.max_bypass)
    hold = [*map(t, ("act", "pre", "column", "column", "refresh", "tfaw")), t("tcl") + burst, t("tcwl") + burst]
    every_bank = (1 << dram.n_banks) - 1 if dram.n_banks < _WORD_BITS else -1
    refresh = (int(per_bank), t("trefi") // (dram.n_banks if per_bank else 1), every_bank)
    hold = np.array(hold, dtype=np.int64)
    return pcs, blocks, requests, arrival, shape, windows, hold, refresh


def _latencies(dram: DramConfig) -> np.ndarray:
    table = np.full((len(_LEVELS), len(f.COMMANDS), len(f.COMMANDS)), -f.BIG, dtype=np.int64)
    for rule in constraints(dram):
        cell = (_LEVELS.index(rule.level), f.COMMANDS.index(rule.preceding), f.COMMANDS.index(rule.following))
        table[cell] = max(table[cell], rule.ticks)
    return table


def _commands(dram: DramConfig, rows: np.ndarray) -> tuple[Command, ...]:
    """By tick, then by channel, then as they were issued."""
    ordered = rows[np.lexsort((rows[:, 1] // dram.n_pseudo_channels, rows[:, 0]))].tolist()
    return tuple(
        Command(tick=tick, bus=bus, name=f.COMMANDS[number], bank=bank if bank >= 0 else None, row=row)
        for tick, bus, number, bank, row in ordered
    )
