"""Who waits for whom, worked out once while a program is loaded."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import column_layout, descriptor_layout, totals_layout

__all__ = ["DependencyMatrix", "matrix_members"]

GROUPS = 4
"""Least groups the places are cut into: a column takes as many clocks, in two of which it is stored, in two counted."""

_OFFSETS = {"same": 0b00, "before": 0b11, "after": 0b01}


def matrix_members(config: SchedulerConfig) -> dict[str, wiring.Member]:
    """Members of the matrix, and of whatever takes its place."""
    return {
        "load_valid": In(1),
        "load_descriptor": In(descriptor_layout(config)),
        "load_last": In(1),
        "building": Out(1),
        "places": In(index_bits(config.n_descriptors)).array(config.n_units),
        "second": In(config.n_units),
        "columns": Out(column_layout(config)).array(config.n_units),
        "lent": Out(1),
        "lent_place": Out(index_bits(config.n_descriptors)),
        "lent_second": Out(1),
        "counts": Out(1),
        "counted": In(totals_layout(config)),
        "totals": Out(totals_layout(config)),
    }


class DependencyMatrix(wiring.Component):
    """Hold, for every descriptor and event, the column of those that wait for it; count what each one waits for.

    A column has a bit for every place and layer offset. It lies in block memory with a read port for every unit, so
    that each can show what its nano-operation sets free before that happens. A descriptor has a column for its first
    event, which is its start if that is awaited, and one for its second: the end.

    A wait for the start is left out where the end of the same iteration is awaited too. So is a descriptor's wait for
    its own iteration before, as a descriptor's iterations are issued in order. Hence no count exceeds the number of
    the others.

    Timing
    ------
    Columns are there a clock after ``places`` and ``second``. The matrix is built from ``load_last`` on, 4 pairs a
    clock (2 of 8 descriptors): ``building`` is high for ``n * n_descriptors / 4 + 10`` clocks with n descriptors.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_descriptor : In, writes a descriptor at the next place; not while ``building``
    load_last : In(1), the body is complete: building begins, if descriptors came since the last time
    building : Out(1), from that clock on, columns and ``totals`` are not there yet
    places, second : In, of every unit, the column to show in the next clock: whose, and of which event
    columns : Out(column) of every unit
    lent : Out(1), register: unit 0 is to show ``lent_place`` and ``lent_second``, and from the clock after on the
        counters of those who wait count for the matrix
    lent_place, lent_second : Out
    counts : Out(1), they are to keep the column of unit 0, and to count it in the next clock
    counted : In(totals), what they have counted
    totals : Out(totals), register: how many events every place waits for
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        # descriptors that are held against an awaited one in a clock
        self._lanes = min(4, config.n_descriptors // GROUPS)
        super().__init__(matrix_members(config))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n = self.config.n_descriptors
        place, last, fresh = Signal(range(n)), Signal(range(n)), Signal()
        # the pair of an awaited descriptor and a group of those that may wait for it
        runs, awaited, group = Signal(), Signal(range(n)), Signal(range(n // self._lanes))
        # 1 .. 8 clocks ago a column was compared, and whose
        after, whose = [Signal(name=f"after{age}") for age in range(9)], [Signal(_whose_layout(n), name="whose0")]
        begins, ends, settles = Signal(), Signal(), Signal()
        m.d.comb += [
            after[0].eq(runs & group.all()),
            begins.eq(self.load_last & fresh),
            ends.eq(after[8] & ~runs & ~Cat(after[1:8]).any()),
            # the counters are back at 0 a clock after they were lent
            self.building.eq(self.lent | settles | begins),
            self.counts.eq(after[5] | after[6]),
        ]
        m.d.sync += [self.lent.eq((self.lent | begins) & ~ends), settles.eq(self.lent)]
        for age in range(1, 9):
            m.d.sync += after[age].eq(after[age - 1])
        for age in range(1, 6):
            whose.append(Signal.like(whose[0], name=f"whose{age}"))
            m.d.sync += whose[age].eq(whose[age - 1])
        with m.If(runs):
            m.d.sync += group.eq(group + 1)
            with m.If(group.all()):
                m.d.sync += [awaited.eq(awaited + 1), runs.eq(awaited != last)]
        with m.If(self.load_valid):
            m.d.sync += [place.eq(place + 1), last.eq(place), fresh.eq(1)]
        with m.Elif(self.load_last):
            m.d.sync += [place.eq(0), fresh.eq(0)]
            with m.If(begins):
                m.d.sync += [runs.eq(1), awaited.eq(0), group.eq(0)]
        with m.If(after[8]):
            m.d.sync += self.totals.eq(self.counted)
        m.d.comb += whose[0].place.eq(awaited)
        self._hold(m, self._assemble(m, place, group, whose), after, whose)
        return m

    def _assemble(self, m: Module, place: Signal, group: Signal, whose: list) -> dict[tuple[str, int], Signal]:
        """Columns by layer offset and whether they are of the start, shifted in from above.

        Those of the start are a group longer: they are stored a clock later.
        """
        config, n = self.config, self.config.n_descriptors
        kept = data.StructLayout(
            {"operation": index_bits(config.n_operations), "chunks": config.n_chunks, "announce_start": 1}
        )
        m.submodules.awaited = memory_ = memory.Memory(shape=kept, depth=n, init=[])
        write, read, loaded = memory_.write_port(), memory_.read_port(domain="comb"), self.load_descriptor
        m.d.comb += [
            write.en.eq(self.load_valid),
            write.addr.eq(place),
            write.data.operation.eq(loaded.operation),
            write.data.chunks.eq(loaded.chunks),
            write.data.announce_start.eq(loaded.announce_start),
            read.addr.eq(whose[0].place),
            whose[0].announces.eq(read.data.announce_start),
        ]
        shifted = {
            (offset, start): Signal(n + self._lanes * start, name=f"{offset}{start}")
            for offset in _OFFSETS
            for start in range(2)
        }
        found: dict[tuple[str, int], list[Value]] = {key: [] for key in shifted}
        compared = Signal.like(group)
        m.d.sync += compared.eq(group)
        for lane in range(self._lanes):
            itself = whose[1].place == Cat(Const(lane, index_bits(self._lanes)), compared)
            for key, waits in self._compare(m, lane, place, group, read.data).items():
                found[key].append(waits & ~itself if key[0] == "before" else waits)
        for key, register in shifted.items():
            m.d.sync += register.eq(Cat(register[self._lanes :], *found[key]))
        return shifted

    def _compare(self, m: Module, lane: int, place: Signal, group: Signal, awaited: data.View) -> dict:
        """Whether the lane's descriptor waits for the awaited one, by layer offset and whether for its start; in the
        clock after."""
        config, loaded = self.config, self.load_descriptor
        kinds = [(offset, start) for offset in _OFFSETS for start in range(2)]
        fields = {"chunks": config.n_chunks}
        for number in range(config.n_predecessors):
            fields |= {f"operation{number}": index_bits(config.n_operations), f"all{number}": 1}
            fields |= {f"{offset}{start}_{number}": 1 for offset, start in kinds}
        layout = data.StructLayout(fields)
        memory_ = memory.Memory(shape=layout, depth=config.n_descriptors // self._lanes, init=[])
        m.submodules[f"lane{lane}"] = memory_
        lane_bits = index_bits(self._lanes)
        write, read = memory_.write_port(), memory_.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.load_valid & (place[:lane_bits] == lane)),
            write.addr.eq(place[lane_bits:]),
            write.data.chunks.eq(loaded.chunks),
            read.addr.eq(group),
        ]
        meets = (read.data.chunks & awaited.chunks).any()
        waits = dict.fromkeys(kinds, 0)
        for number in range(config.n_predecessors):
            field = f"predecessor{number}"
            m.d.comb += [
                write.data[f"operation{number}"].eq(loaded[f"{field}_operation"]),
                write.data[f"all{number}"].eq(loaded[f"{field}_all"]),
            ]
            named = Signal(name=f"lane{lane}_named{number}")
            m.d.sync += named.eq(
                (read.data[f"operation{number}"] == awaited.operation) & (read.data[f"all{number}"] | meets)
            )
            for offset, start in kinds:
                m.d.comb += write.data[f"{offset}{start}_{number}"].eq(
                    loaded[f"{field}_valid"]
                    & (loaded[f"{field}_layer_offset"] == _OFFSETS[offset])
                    & (loaded[f"{field}_start"] == start)
                )
                of_kind = Signal(name=f"lane{lane}_{offset}{start}_{number}")
                m.d.sync += of_kind.eq(read.data[f"{offset}{start}_{number}"])
                waits[offset, start] |= named & of_kind
        for offset in _OFFSETS:
            waits[offset, 1] &= ~waits[offset, 0]
        return waits

    def _hold(self, m: Module, shifted: dict, after: list[Signal], whose: list[Signal]) -> None:
        """The columns, by descriptor and event; those of an end are stored first."""
        config, n = self.config, self.config.n_descriptors
        m.submodules.columns = memory_ = memory.Memory(
            shape=column_layout(config), depth=2 * n, init=[], attrs={"ram_style": "block"}
        )
        write = memory_.write_port()
        # an end is the second event where the start is awaited
        of_end = [Cat(one.place, one.announces) for one in whose]
        of_start = [Cat(one.place, ~one.announces) for one in whose]
        lent = Mux(after[4], of_end[4], of_start[5])
        m.d.comb += [
            write.en.eq(after[2] | after[3]),
            write.addr.eq(Mux(after[2], of_end[2], of_start[3])),
            *(write.data[offset].eq(Mux(after[2], shifted[offset, 0], shifted[offset, 1][:n])) for offset in _OFFSETS),
            # what was stored is shown to those who count
            Cat(self.lent_place, self.lent_second).eq(lent),
        ]
        for unit in range(config.n_units):
            # a register after the memory, and nothing is read while something is written: so synthesis need not care
            # what a block memory shows then
            read = memory_.read_port(domain="comb")
            m.d.comb += read.addr.eq(Cat(self.places[unit], self.second[unit]))
            with m.If(~write.en):
                m.d.sync += self.columns[unit].eq(read.data)


def _whose_layout(n: int) -> data.StructLayout:
    """Of an awaited descriptor: its place, and whether its start is awaited."""
    return data.StructLayout({"place": index_bits(n), "announces": 1})
