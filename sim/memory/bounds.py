"""Closed formulas of a DRAM: what no controller can beat, from the timings alone.

Ticks are half clocks; every figure is of one pseudo-channel, whose share of the peak is the memory's.
"""

from dataclasses import dataclass

from arch.errors import check_one_of
from arch.memory import TICKS_PER_CLOCK, DramConfig

__all__ = ["Bound", "bank_group_fraction", "one_bank_fraction", "random_bound", "unloaded_read_ns"]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Largest fraction of the peak, what sets it, and what each candidate would allow."""

    fraction: float
    limiter: str
    candidates: dict[str, float]


def unloaded_read_ns(dram: DramConfig, row: str) -> float:
    """A read alone in the memory, from its arrival to the end of its data.

    ``row`` is ``hit`` (tCL + burst), ``miss`` (tRCD more) or ``conflict`` (tRP more, tRAS long past).
    """
    check_one_of("row", row, ("hit", "miss", "conflict"))
    ticks = dram.ticks("tcl") + _burst(dram)
    if row != "hit":
        ticks += dram.ticks("trcd_rd")
    if row == "conflict":
        ticks += dram.ticks("trp")
    return ticks * dram.tick_ns


def bank_group_fraction(dram: DramConfig) -> float:
    """Reads of open rows in one bank group: one burst each tCCD_L."""
    return _burst(dram) / max(_burst(dram), dram.ticks("tccd_l"))


def one_bank_fraction(dram: DramConfig) -> float:
    """Reads of ever new rows in one bank: one burst each tRC, or tRCD + tRTP + tRP if that is longer."""
    t = dram.ticks
    return _burst(dram) / max(t("trc"), t("trcd_rd") + t("trtp") + t("trp"), t("tras") + t("trp"))


def random_bound(dram: DramConfig) -> Bound:
    """Reads of one burst each in random rows: every one needs an ACT and a PRE of its own.

    Per read the candidates take, in ticks: ``pins`` a burst; ``tRRD`` tRRD_S; ``tFAW`` a quarter of it; ``commands``
    the bus of ACT and PRE (and of the RD, where they share one) times the pseudo-channels on it; ``banks`` tRC over
    the banks. Refresh takes away: tRREFD of ACTs per refresh from ``tRRD``; its own command and the PRE before it
    from ``commands``; a bank for tRFCpb from ``banks``; all of it for tRFC if all banks are refreshed at once.
    """
    t = dram.ticks
    per_bank = dram.refresh == "per_bank"
    between = t("trefi") // (dram.n_banks if per_bank else 1)
    commands = t("act") + t("pre") + (0 if dram.separate_row_bus else t("column"))
    ticks = {
        "pins": _burst(dram),
        "tRRD": t("trrd_s"),
        "tFAW": t("tfaw") / 4,
        "commands": commands * dram.n_pseudo_channels,
        "banks": max(t("trc"), t("tras") + t("trp")) / dram.n_banks,
    }
    if per_bank:
        lost = {
            "pins": 0.0,
            "tRRD": t("trrefd") / between,
            "tFAW": 0.0,
            "commands": t("refresh") * dram.n_pseudo_channels / between,
            "banks": t("trfc_pb") / t("trefi"),
        }
    else:
        lost = dict.fromkeys(ticks, t("trfc") / between)
    candidates = {name: _burst(dram) / ticks[name] * (1 - lost[name]) for name in ticks}
    limiter = min(candidates, key=candidates.__getitem__)
    return Bound(fraction=candidates[limiter], limiter=limiter, candidates=candidates)


def _burst(dram: DramConfig) -> int:
    return dram.burst_clk * TICKS_PER_CLOCK
