"""The check of a loaded program before it runs."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.load_check import FAULT_BITS, LoadFault
from arch.program import MAX_PREDECESSORS
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import LoadTable, control_layout, descriptor_layout, load_layout

__all__ = ["LoadChecker"]

_NEAR = {"ram_style": "distributed"}
"""Block memories of an FPGA answer too late in the clock for what is compared with their words."""


class LoadChecker(wiring.Component):
    """Keep a copy of what is loaded and say on request whether it is a legal program, and if not, why and where.

    Accepted is what :class:`arch.program.Program` accepts, loaded in order: chunks that are there and do not overlap,
    units, operations and pools that exist and are large enough, and waits that close no circle.
    :func:`arch.load_check.check_packed` says the same in software.

    Circles need no graph. With everything before two open iterations complete and nothing after them open, whatever
    can be issued is issued, sweep by sweep, into a scoreboard of its own. If the older iteration is then complete, the
    next two stand as these did; if not, the rest of it could never be issued.

    Timing
    ------
    ``accepted`` or ``refused`` comes a number of clocks after ``check`` that depends on the program:
    ``sim.engine.load_checker.check_clocks`` gives it, ``max_check_clk`` bounds it. A published pipeline of 27
    nano-operations takes some hundred. A word loaded meanwhile makes the verdict meaningless.

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load : In, a word the unit takes in this clock
    check : In(1), begin; ignored while ``busy``
    busy : Out(1)
    accepted, refused : Out(1), one clock at the end
    fault : Out(4), an ``arch.load_check.LoadFault``; holds from ``refused`` until the next ``check``
    index : Out, descriptor (of ``OPERATION_CHUNKS`` row) where it was found
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load_valid": In(1),
                "load": In(load_layout(config)),
                "check": In(1),
                "busy": Out(1),
                "accepted": Out(1),
                "refused": Out(1),
                "fault": Out(FAULT_BITS),
                "index": Out(index_bits(config.n_descriptors)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        self._operation_bits = index_bits(config.n_operations)
        self._index = Signal(index_bits(config.n_descriptors))
        self._newer = Signal()
        self._hold(m)
        misplaced, in_order = self._watch_order(m)
        self._look_up(m)

        clearing = Signal(2 + max(self._operation_bits, len(self._index) - 1))
        self._missed, self._progress, self._ahead = Signal(), Signal(), Signal()
        self._silent = Signal(1 << self._operation_bits)
        m.d.sync += [self.accepted.eq(0), self.refused.eq(0)]
        with m.FSM() as steps:
            with m.State("IDLE"):
                m.d.sync += [clearing.eq(0), self._index.eq(0), self._newer.eq(0), self._ahead.eq(0)]
                m.d.sync += [self._missed.eq(0), self._progress.eq(0), self._silent.eq(0)]
                with m.If(self.check):
                    m.d.sync += [self.fault.eq(LoadFault.NONE), self.index.eq(0)]
                    m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.comb += [self._clear.eq(1), self._clear_address.eq(clearing)]
                m.d.sync += clearing.eq(clearing + 1)
                with m.If(clearing.all()):
                    m.next = "OWN_FETCH"
                    self._refuse_if(m, {LoadFault.ORDER: ~in_order}, at=misplaced)
                    self._refuse_if(m, {LoadFault.COUNT: self._control.count == 0})
            self._own(m)
            self._operations(m)
            self._waits(m)
            self._sweep(m)
        m.d.comb += self.busy.eq(~steps.ongoing("IDLE"))
        return m

    def _hold(self, m: Module) -> None:
        """Copies of the tables."""
        config = self.config
        m.submodules.descriptors = descriptors = memory.Memory(
            shape=descriptor_layout(config).size, depth=config.n_descriptors, init=[], attrs=_NEAR
        )
        m.submodules.operations = operations = memory.Memory(
            shape=config.n_chunks, depth=1 << self._operation_bits, init=[], attrs=_NEAR
        )
        self._control = Signal(control_layout(config))
        for table, target in ((LoadTable.DESCRIPTOR, descriptors), (LoadTable.OPERATION, operations)):
            write = target.write_port()
            m.d.comb += [
                write.en.eq(self.load_valid & (self.load.table == table)),
                write.addr.eq(self.load.address),
                write.data.eq(self.load.data),
            ]
        with m.If(self.load_valid & (self.load.table == LoadTable.CONTROL)):
            m.d.sync += self._control.as_value().eq(self.load.data)
        read = descriptors.read_port()
        m.d.comb += read.addr.eq(self._index)
        self._descriptor = data.View(descriptor_layout(config), read.data)
        self._operations_read = operations.read_port()

    def _watch_order(self, m: Module) -> tuple[Value, Value]:
        """Look at descriptors as they come: by unit, then priority, then index, each once, and in one go. Returns the
        one to blame, and whether none is."""
        word = self.load.data
        loaded = data.View(descriptor_layout(self.config), word[: descriptor_layout(self.config).size])
        comes, first = Signal(), Signal(init=1)
        key = Cat(self.load.address, loaded.priority, loaded.unit)
        before, seen = Signal(len(key)), Signal(self.config.n_descriptors)
        broken, at, highest = Signal(), Signal.like(self._index), Signal.like(self._index)
        n_loaded = Signal(len(self._index) + 1)
        is_late, last = Signal(), self._control.last
        m.d.comb += [
            comes.eq(self.load_valid & (self.load.table == LoadTable.DESCRIPTOR)),
            is_late.eq(~first & ((key <= before) | seen.bit_select(self.load.address, 1))),
        ]
        with m.If(self.load_valid):
            m.d.sync += first.eq(~comes)
        with m.If(comes):
            m.d.sync += [
                before.eq(key),
                seen.eq(Mux(first, 0, seen) | (1 << self.load.address)),
                n_loaded.eq(Mux(first, 0, n_loaded) + 1),
                highest.eq(Mux(first | (self.load.address > highest), self.load.address, highest)),
                broken.eq(~first & (broken | is_late)),
            ]
            with m.If(first | ~broken):
                m.d.sync += at.eq(self.load.address)
        whole = (n_loaded == last + 1) & (highest == last)
        return Mux(broken, at, last), ~broken & whole

    def _look_up(self, m: Module) -> None:
        """Rows of chunks (of all nano-operations, and of those issued of either iteration), and who has been issued."""
        config = self.config
        m.submodules.rows = rows = memory.Memory(
            shape=config.n_chunks, depth=4 << self._operation_bits, init=[], attrs=_NEAR
        )
        m.submodules.issued = issued = memory.Memory(shape=1, depth=2 << len(self._index), init=[], attrs=_NEAR)
        self._clear, self._clear_address = Signal(), Signal(2 + max(self._operation_bits, len(self._index) - 1))
        # what is looked up in this clock, and answered in the next
        self._row, self._region = Signal(self._operation_bits), Signal(2)
        self._add, self._mark = Signal(), Signal()
        self._found = Signal(config.n_chunks)
        row_read, row_write, issued_read, issued_write = (
            rows.read_port(), rows.write_port(), issued.read_port(), issued.write_port(),
        )  # fmt: skip
        m.d.comb += [
            row_read.addr.eq(Cat(self._row, self._region)),
            self._operations_read.addr.eq(self._row),
            self._found.eq(row_read.data),
            row_write.en.eq(self._clear | self._add),
            row_write.addr.eq(Mux(self._clear, self._clear_address, Cat(self._descriptor.operation, self._region))),
            row_write.data.eq(Mux(self._clear, 0, self._found | self._descriptor.chunks)),
            issued_read.addr.eq(Cat(self._newer, self._index)),
            issued_write.en.eq(self._clear | self._mark),
            issued_write.addr.eq(Mux(self._clear, self._clear_address, Cat(self._newer, self._index))),
            issued_write.data.eq(~self._clear),
        ]
        self._issued = issued_read.data

    def _refuse_if(self, m: Module, broken: dict[LoadFault, Value], *, at: Value | None = None) -> None:
        """End with the lowest code that is broken, if one is."""
        for fault, found in sorted(broken.items(), reverse=True):
            with m.If(found):
                m.d.sync += [self.fault.eq(fault), self.index.eq(self._index if at is None else at)]
        with m.If(Cat(broken.values()).any()):
            m.d.sync += self.refused.eq(1)
            m.next = "IDLE"

    def _step(self, m: Module, again: str, after: str, *, last: Value | None = None) -> None:
        """On to the next descriptor, or to what comes after the last one."""
        last = self._index == self._control.last if last is None else last
        m.d.sync += self._index.eq(Mux(last, 0, self._index + 1))
        m.next = again
        with m.If(last):
            m.next = after

    def _own(self, m: Module) -> None:
        """What a descriptor says of itself; three clocks each."""
        config, descriptor = self.config, self._descriptor
        shares = [descriptor[f"share{pool}"] > self._control[f"capacity{pool}"] for pool in range(config.n_pools)]
        with m.State("OWN_FETCH"):
            m.next = "OWN_READ"
        with m.State("OWN_READ"):
            m.d.comb += self._row.eq(descriptor.operation)
            m.next = "OWN"
        with m.State("OWN"):
            m.d.comb += self._add.eq(1)
            m.d.sync += self._silent.bit_select(descriptor.operation, 1).eq(
                self._silent.bit_select(descriptor.operation, 1) | ~descriptor.announce_start
            )
            self._step(m, "OWN_FETCH", "OPERATION_READ")
            self._refuse_if(
                m,
                {
                    LoadFault.NO_CHUNKS: ~descriptor.chunks.any(),
                    LoadFault.UNIT: descriptor.unit >= config.n_units,
                    LoadFault.OPERATION: descriptor.operation >= config.n_operations,
                    LoadFault.SHARE: Cat(shares).any(),
                    LoadFault.OVERLAP: (self._found & descriptor.chunks).any(),
                },
            )

    def _operations(self, m: Module) -> None:
        """The chunks loaded for each operation beside those its descriptors have; two clocks each."""
        with m.State("OPERATION_READ"):
            m.d.comb += self._row.eq(self._index)
            m.next = "OPERATION"
        with m.State("OPERATION"):
            m.d.comb += self._row.eq(self._index)
            self._step(m, "OPERATION_READ", "WAIT_FETCH", last=self._index == self.config.n_operations - 1)
            loaded = self._operations_read.data
            self._refuse_if(m, {LoadFault.OPERATION_CHUNKS: self._found.any() & (self._found != loaded)})

    def _present(self, m: Module, number: Value) -> data.View:
        """Look up the row that wait ``number`` of the descriptor is for; its fields are there in the next clock."""
        names = ("valid", "operation", "layer_offset", "start", "all")
        m.d.sync += self._number.eq(number)
        with m.Switch(number):
            for slot in range(MAX_PREDECESSORS):
                with m.Case(slot):
                    fields = [self._descriptor[f"predecessor{slot}_{name}"] for name in names]
                    m.d.comb += [self._row.eq(fields[1]), self._offset.eq(fields[2])]
                    m.d.sync += self._wait.eq(Cat(fields))
        return self._wait

    def _waits(self, m: Module) -> None:
        """What each wait names; two clocks a descriptor and one a wait."""
        descriptor = self._descriptor
        width = sum(len(descriptor[f"predecessor0_{name}"]) for name in ("valid", "operation", "layer_offset"))
        self._wait = Signal(width + 2)
        self._number, self._offset = Signal(range(MAX_PREDECESSORS)), Signal(2)
        valid, operation = self._wait[0], self._wait[1 : 1 + self._operation_bits]
        offset, start, everything = self._wait[-4:-2], self._wait[-2], self._wait[-1]
        self._wait_fields = (valid, offset, everything)
        with m.State("WAIT_FETCH"):
            m.next = "WAIT_READ"
        with m.State("WAIT_READ"):
            self._present(m, Const(0, range(MAX_PREDECESSORS)))
            m.next = "WAIT"
        with m.State("WAIT"):
            self._present(m, (self._number + 1)[:2])
            with m.If(valid & (offset == 0b01)):
                m.d.sync += self._ahead.eq(1)
            with m.If(self._number == MAX_PREDECESSORS - 1):
                self._step(m, "WAIT_FETCH", "FETCH")
            outside = (descriptor.chunks & ~self._found).any()
            silent = self._silent.bit_select(operation, 1)
            self._refuse_if(
                m,
                {
                    LoadFault.AWAITED_OPERATION: valid & ~self._found.any(),
                    LoadFault.LAYER_OFFSET: valid & (offset == 0b10),
                    LoadFault.AWAITED_CHUNKS: valid & ~everything & outside,
                    LoadFault.ANNOUNCE: valid & start & silent,
                },
            )

    def _sweep(self, m: Module) -> None:
        """Issue what can be issued, of both iterations if a wait reaches ahead; see the class."""
        descriptor, newer = self._descriptor, self._newer
        valid, offset, everything = self._wait_fields
        older_done = Mux(newer, 0, offset == 0b11)
        beyond = newer & (offset == 0b01)
        needed = Mux(everything, self._operations_read.data, descriptor.chunks)
        met = ~valid | older_done | ~beyond & ~(needed & ~self._found).any()
        # rows of the older iteration are region 1, of the newer region 2
        awaited = Mux(newer ^ self._offset[0], 2, 1)
        with m.State("FETCH"):
            m.next = "READ"
        with m.State("READ"):
            self._present(m, Const(0, range(MAX_PREDECESSORS)))
            m.d.comb += self._region.eq(awaited)
            m.next = "TRY"
            with m.If(self._issued):
                self._next_try(m)
        with m.State("TRY"):
            with m.If(self._number == MAX_PREDECESSORS - 1):
                m.d.comb += [self._row.eq(descriptor.operation), self._region.eq(Mux(newer, 2, 1))]
                m.next = "MARK"
            with m.Else():
                self._present(m, (self._number + 1)[:2])
                m.d.comb += self._region.eq(awaited)
            with m.If(~met):
                with m.If(~newer & ~self._missed):
                    m.d.sync += [self._missed.eq(1), self.index.eq(self._index)]
                self._next_try(m)
        with m.State("MARK"):
            m.d.comb += [self._add.eq(1), self._mark.eq(1), self._region.eq(Mux(newer, 2, 1))]
            m.d.sync += self._progress.eq(1)
            self._next_try(m)
        with m.State("SWEPT"):
            m.d.sync += [self._missed.eq(0), self._progress.eq(0)]
            m.next = "FETCH"
            with m.If(~self._missed):
                m.d.sync += [self.accepted.eq(1), self.index.eq(0)]
                m.next = "IDLE"
            with m.Elif(~self._progress):
                m.d.sync += [self.refused.eq(1), self.fault.eq(LoadFault.CIRCLE)]
                m.next = "IDLE"

    def _next_try(self, m: Module) -> None:
        """The same descriptor of the newer iteration, if that matters; otherwise the next descriptor."""
        with m.If(self._ahead & ~self._newer):
            m.d.sync += self._newer.eq(1)
            m.next = "FETCH"
        with m.Else():
            m.d.sync += self._newer.eq(0)
            self._step(m, "FETCH", "SWEPT")
