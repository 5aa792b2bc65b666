"""Device memory as ``sim/memory`` times it: DRAM organisation and timing, controller, address mapping, L2.

Presets lie in ``workloads/memories``, one file a memory with a source per figure; ``arch.workload.load_memory`` reads
them. Names of timings are the standards' own (JESD235, JESD238, JESD250, JESD209-5) in lower case; ``_ns`` ones are
rounded up to whole clocks, ``_clk`` ones are clocks of the command clock CK.
"""

from dataclasses import dataclass, field
from math import ceil, isclose

from arch.errors import InputError, check_instance, check_integer, check_one_of, check_positive

__all__ = [
    "MAPPINGS", "REFRESHES", "TICKS_PER_CLOCK", "AddressMapping", "ControllerConfig", "DramConfig", "DramTiming",
    "L2Config", "MemorySystemConfig",
]  # fmt: skip

TICKS_PER_CLOCK = 2
"""The models count half clocks: HBM3's row commands take half-integer numbers of them."""

REFRESHES = ("per_bank", "all_bank")

_MOST_BANKS = 64
"""Of a channel: the model keeps a bank's number in six bits."""

_FIELDS = ("line", "channel", "group", "column", "bank", "row")


@dataclass(frozen=True, kw_only=True)
class DramTiming:
    """Least distances between commands of one pseudo-channel, and latencies.

    Parameters
    ----------
    tcl_ns, tcwl_ns : read or write command to its first data
    trcd_rd_ns, trcd_wr_ns : ACT to RD or WR of the same bank
    tras_ns, trp_ns, trc_ns : ACT to PRE, PRE to ACT, ACT to ACT of the same bank
    trtp_ns : RD to PRE of the same bank
    twr_ns : last data written to PRE of the same bank
    trrd_s_ns, trrd_l_ns : ACT to ACT of another bank, in another and in the same bank group
    tfaw_ns : window that holds at most four ACT
    tccd_s_clk, tccd_l_clk : RD to RD or WR to WR, in another and in the same bank group
    twtr_s_ns, twtr_l_ns : last data written to RD, in another and in the same bank group
    trtw_ns : RD to WR
    tppd_clk : PRE to PRE of another bank
    trefi_ns : mean time between all-bank refreshes; a per-bank refresh comes n_banks times as often
    trfc_ns, trfc_pb_ns : all-bank and per-bank refresh to the next ACT of what it refreshed
    trrefd_ns, tpbr2pbr_ns : per-bank refresh to ACT, and to refresh, of another bank
    act_clk, pre_clk, column_clk, refresh_clk : clocks a command holds its command bus, in halves
    """

    tcl_ns: float
    tcwl_ns: float
    trcd_rd_ns: float
    trcd_wr_ns: float
    tras_ns: float
    trp_ns: float
    trc_ns: float
    trtp_ns: float
    twr_ns: float
    trrd_s_ns: float
    trrd_l_ns: float
    tfaw_ns: float
    tccd_s_clk: int
    tccd_l_clk: int
    twtr_s_ns: float
    twtr_l_ns: float
    trtw_ns: float
    tppd_clk: int
    trefi_ns: float
    trfc_ns: float
    trfc_pb_ns: float
    trrefd_ns: float
    tpbr2pbr_ns: float
    act_clk: float
    pre_clk: float
    column_clk: float
    refresh_clk: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_positive(name, value)
        for name in ("act_clk", "pre_clk", "column_clk", "refresh_clk"):
            ticks = getattr(self, name) * TICKS_PER_CLOCK
            if ticks != int(ticks):
                raise InputError(f"{name} must be a multiple of 0.5, not {getattr(self, name)!r}")
        for short, long in (("tccd_s_clk", "tccd_l_clk"), ("trrd_s_ns", "trrd_l_ns"), ("twtr_s_ns", "twtr_l_ns")):
            if getattr(self, long) < getattr(self, short):
                raise InputError(f"{long} must be at least {short}, not {getattr(self, long)!r}")
        for name in ("trfc_ns", "trfc_pb_ns"):
            # Between two refreshes a row must open, serve and close, or no request would ever be served.
            if getattr(self, name) + 2 * self.trc_ns > self.trefi_ns:
                raise InputError(
                    f"{name} must leave 2 trc_ns of trefi_ns, at most {self.trefi_ns - 2 * self.trc_ns:g}, "
                    f"not {getattr(self, name)!r}"
                )


@dataclass(frozen=True, kw_only=True)
class DramConfig:
    """DRAM behind all memory controllers of one GPU.

    A channel has one or two command buses, which its pseudo-channels share; a pseudo-channel has data pins, bank
    groups and banks of its own. Peak bandwidth is ``pins * data_rate / 8``.

    Parameters
    ----------
    n_channels : channels of all devices
    n_pseudo_channels : of a channel: 2 for HBM, 1 where a channel is not divided
    pins : data pins of a pseudo-channel
    data_rate_bits_per_s : of a pin
    burst_length : bits of a pin in one burst
    clock_hz : the command clock CK
    n_bank_groups, n_banks_per_group : of a pseudo-channel
    row_bytes : of a bank's row, as one pseudo-channel sees it
    n_rows : of a bank
    separate_row_bus : row commands have a bus of their own (HBM), or share one with column commands
    refresh : ``per_bank`` or ``all_bank``
    timing : least distances of commands
    """

    n_channels: int
    n_pseudo_channels: int
    pins: int
    data_rate_bits_per_s: float
    burst_length: int
    clock_hz: float
    n_bank_groups: int
    n_banks_per_group: int
    row_bytes: int
    n_rows: int
    separate_row_bus: bool
    timing: DramTiming
    refresh: str = "per_bank"

    def __post_init__(self) -> None:
        check_integer("n_channels", self.n_channels, 1, 1024)
        check_integer("n_pseudo_channels", self.n_pseudo_channels, 1, 2)
        check_positive("data_rate_bits_per_s", self.data_rate_bits_per_s)
        check_positive("clock_hz", self.clock_hz)
        check_instance("separate_row_bus", self.separate_row_bus, bool)
        check_instance("timing", self.timing, DramTiming)
        check_one_of("refresh", self.refresh, REFRESHES)
        for name, low, high in (
            ("pins", 8, 128), ("burst_length", 2, 32), ("n_bank_groups", 1, 8), ("n_banks_per_group", 1, 8),
            ("row_bytes", 256, 1 << 16), ("n_rows", 1 << 8, 1 << 20),
        ):  # fmt: skip
            value = getattr(self, name)
            check_integer(name, value, low, high)
            if value & (value - 1):
                raise InputError(f"{name} must be a power of two, not {value!r}")
        if self.refresh == "per_bank" and self.timing.trefi_ns <= self.n_banks * self.timing.tpbr2pbr_ns:
            raise InputError(
                f"tpbr2pbr_ns must leave time for {self.n_banks} refreshes in {self.timing.trefi_ns} ns, "
                f"not {self.timing.tpbr2pbr_ns!r}"
            )
        if self.n_pseudo_channels * self.n_banks > _MOST_BANKS:
            raise InputError(
                f"banks of a channel must be at most {_MOST_BANKS}, not {self.n_pseudo_channels * self.n_banks}"
            )
        clocks = self.burst_length / self.data_rate_bits_per_s * self.clock_hz
        if not isclose(clocks, round(clocks), rel_tol=1e-3):
            raise InputError(f"burst_length must take whole clocks at the data rate, not {clocks:.3f}")

    @property
    def burst_clk(self) -> int:
        """Clocks of a burst on the data pins."""
        return round(self.burst_length / self.data_rate_bits_per_s * self.clock_hz)

    @property
    def burst_bytes(self) -> int:
        """Bytes of a burst, the unit of access."""
        return self.pins * self.burst_length // 8

    @property
    def n_buses(self) -> int:
        """Pseudo-channels in all: independent data buses."""
        return self.n_channels * self.n_pseudo_channels

    @property
    def n_banks(self) -> int:
        """Banks of a pseudo-channel."""
        return self.n_bank_groups * self.n_banks_per_group

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all rows modelled."""
        return self.n_buses * self.n_banks * self.n_rows * self.row_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """All data pins busy."""
        return self.n_buses * self.pins * self.data_rate_bits_per_s / 8

    @property
    def tick_ns(self) -> float:
        """Half a clock."""
        return 1e9 / self.clock_hz / TICKS_PER_CLOCK

    def ticks(self, name: str) -> int:
        """A timing by its name without unit (``trcd_rd``), in ticks; nanoseconds are rounded up to whole clocks."""
        if hasattr(self.timing, f"{name}_ns"):
            # An exact multiple must not become one more for the last bit of a float.
            return ceil(getattr(self.timing, f"{name}_ns") * self.clock_hz * 1e-9 - 1e-6) * TICKS_PER_CLOCK
        return round(getattr(self.timing, f"{name}_clk") * TICKS_PER_CLOCK)


@dataclass(frozen=True, kw_only=True)
class AddressMapping:
    """Which bits of an address choose channel, bank group, bank, row and column.

    Parameters
    ----------
    order : the fields from the lowest address upwards: ``line`` (bursts of a 128-byte line, in one row), ``channel``
        (pseudo-channels of all channels; their number need be no power of two), ``group``, ``column`` (the rest of
        the row), ``bank``, ``row``
    hashed : channels are rotated and banks exchanged by higher address bits, so that a stride does not fall on few
        of them; every row still appears once
    """

    order: tuple[str, ...]
    hashed: bool = True

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(_FIELDS):
            raise InputError(f"order must name {', '.join(_FIELDS)} once each, not {self.order!r}")
        check_instance("hashed", self.hashed, bool)


MAPPINGS: dict[str, AddressMapping] = {
    "line": AddressMapping(order=("line", "channel", "group", "column", "bank", "row")),
    "row": AddressMapping(order=("line", "column", "channel", "group", "bank", "row")),
    "group_high": AddressMapping(order=("line", "channel", "column", "bank", "row", "group"), hashed=False),
    "channel_high": AddressMapping(order=("line", "group", "column", "bank", "row", "channel"), hashed=False),
}
"""``line``: a line a channel, then the next bank group; ``row``: a row a channel; ``group_high``: a stream stays in
one bank group of every channel; ``channel_high``: a stream stays in one channel."""


@dataclass(frozen=True, kw_only=True)
class ControllerConfig:
    """FR-FCFS controller of a pseudo-channel, with an open-page policy.

    Requests enter in order, into a window of reads and one of writes. Of the commands that could be issued first, it
    takes the one of the oldest request; row hits are taken before older requests of their bank. Writes wait until
    their window is full or no read is left, then they are drained down to ``write_low``.

    Parameters
    ----------
    read_window, write_window : requests among which it chooses
    write_low : writes left when it turns back to waiting reads
    max_bypass : row hits of a bank that may overtake an older request of that bank
    mapping : address mapping
    """

    read_window: int = 64
    write_window: int = 128
    write_low: int = 0
    max_bypass: int = 64
    mapping: AddressMapping = field(default_factory=lambda: MAPPINGS["line"])

    def __post_init__(self) -> None:
        check_integer("read_window", self.read_window, 1, 1024)
        check_integer("write_window", self.write_window, 1, 1024)
        check_integer("write_low", self.write_low, 0, self.write_window - 1)
        check_integer("max_bypass", self.max_bypass, 1, 1 << 16)
        check_instance("mapping", self.mapping, AddressMapping)


@dataclass(frozen=True, kw_only=True)
class L2Config:
    """Sectored set-associative write-back cache in front of the DRAM, in banks (slices) that work side by side.

    Parameters
    ----------
    capacity_bytes : of all banks
    n_banks : slices; lines are dealt out to them in turn, rotated by higher bits
    n_ways : lines of a set; least recently used is replaced
    line_bytes, sector_bytes : tags are per line, valid and dirty bits per sector
    bank_bytes_per_clk : data a bank gives or takes in a clock
    clock_hz : of the banks
    hit_ns : load to use of a hit
    """

    capacity_bytes: int
    n_banks: int
    n_ways: int = 16
    line_bytes: int = 128
    sector_bytes: int = 32
    bank_bytes_per_clk: int = 64
    clock_hz: float = 1e9
    hit_ns: float = 200.0

    def __post_init__(self) -> None:
        check_integer("n_banks of the L2", self.n_banks, 1, 1024)
        check_integer("n_ways", self.n_ways, 1, 64)
        for name, low, high in (("line_bytes", 32, 512), ("sector_bytes", 32, 512), ("bank_bytes_per_clk", 32, 512)):
            value = getattr(self, name)
            check_integer(name, value, low, high)
            if value & (value - 1):
                raise InputError(f"{name} must be a power of two, not {value!r}")
        if self.line_bytes % self.sector_bytes:
            raise InputError(f"line_bytes must be a multiple of sector_bytes, not {self.line_bytes!r}")
        check_positive("clock_hz of the L2", self.clock_hz)
        check_positive("hit_ns", self.hit_ns)
        check_integer("capacity_bytes of the L2", self.capacity_bytes, 1, 1 << 40)
        if self.capacity_bytes % (self.n_banks * self.n_ways * self.line_bytes):
            raise InputError(
                f"capacity_bytes of the L2 must be whole sets of {self.n_ways} lines in each of {self.n_banks} banks, "
                f"not {self.capacity_bytes!r}"
            )

    @property
    def n_sets(self) -> int:
        """Sets of a bank."""
        return self.capacity_bytes // (self.n_banks * self.n_ways * self.line_bytes)

    @property
    def peak_bytes_per_s(self) -> float:
        """All banks busy."""
        return self.n_banks * self.bank_bytes_per_clk * self.clock_hz


@dataclass(frozen=True, kw_only=True)
class MemorySystemConfig:
    """One GPU's L2 and DRAM.

    Parameters
    ----------
    name : preset name
    dram, controller, l2 : its parts
    """

    name: str
    dram: DramConfig
    controller: ControllerConfig
    l2: L2Config

    def __post_init__(self) -> None:
        check_instance("dram", self.dram, DramConfig)
        check_instance("controller", self.controller, ControllerConfig)
        check_instance("l2", self.l2, L2Config)
        if self.dram.burst_bytes != self.l2.sector_bytes:
            raise InputError(
                f"sector_bytes must be the DRAM's burst of {self.dram.burst_bytes} bytes, not {self.l2.sector_bytes!r}"
            )
