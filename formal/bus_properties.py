"""The buses, proved for ever by induction: AXI handshakes, and what the registers hold behind them."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import data

from arch.axis_format import AxisField, AxisFormat
from arch.register_map import FieldKind, Register, RegisterField, RegisterMap
from rtl.bus.axi import Response
from rtl.bus.axi_lite_registers import AxiLiteRegisters
from rtl.bus.axis_adapter import FromAxis, ToAxis

__all__ = ["AxiLiteProperties", "AxisProperties"]

ID, SCRATCH = 0x000, 0x040
REGISTERS = RegisterMap(
    registers=(
        Register(
            name="id",
            address=ID,
            fields=(RegisterField(name="value", low=0, width=32, reset=0x4E475043, kind=FieldKind.CONSTANT),),
        ),
        Register(
            name="scratch",
            address=SCRATCH,
            fields=(RegisterField(name="value", low=0, width=32, reset=0, kind=FieldKind.STORAGE),),
        ),
    )
)


class _Channel:
    """A channel as the environment drives it: any VALID and payload, which hold until READY."""

    def __init__(self, m: Module, name: str, valid: Value, ready: Value, payload: Value) -> None:
        waits, before = Signal(name=f"{name}_waits"), Signal(len(payload), name=f"{name}_before")
        m.d.comb += [valid.eq(AnySeq(1)), payload.eq(AnySeq(len(payload)))]
        m.d.comb += Assume(~waits | valid & (payload == before))
        m.d.sync += [waits.eq(valid & ~ready), before.eq(payload)]
        self.moves = valid & ready


def _holds(m: Module, name: str, valid: Value, ready: Value, payload: Value) -> Value:
    """Assert that an answer holds until it is taken; returns whether the present one is new."""
    waits, before = Signal(name=f"{name}_waits"), Signal(len(payload), name=f"{name}_before")
    m.d.sync += [waits.eq(valid & ~ready), before.eq(payload)]
    m.d.comb += Assert(~waits | valid & (payload == before))
    return valid & ~waits


class AxiLiteProperties(Elaboratable):
    """AXI4-Lite of the registers.

    Answers hold until they are taken; there is one for each write (address and data, in any order) and each read, and
    none without; it is offered two clocks behind them unless an earlier answer waits. A register changes with an
    answer alone, in the written bytes alone, and only if the address is its own; every other address is answered with
    SLVERR; reads give what the register held the clock before.

    Environment: a manager that keeps the handshake rules.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.registers = registers = AxiLiteRegisters(REGISTERS)
        m.d.comb += Assume(~ResetSignal())
        self._write(m, registers)
        self._read(m, registers)
        return m

    def _write(self, m: Module, registers: AxiLiteRegisters) -> None:
        bus = registers.bus
        address = _Channel(m, "aw", bus.awvalid, bus.awready, bus.awaddr)
        word = _Channel(m, "w", bus.wvalid, bus.wready, Cat(bus.wdata, bus.wstrb))
        m.d.comb += bus.bready.eq(AnySeq(1))
        new = _holds(m, "b", bus.bvalid, bus.bready, bus.bresp)
        owed = {}
        for name, moves, ready in (("aw", address.moves, bus.awready), ("w", word.moves, bus.wready)):
            owed[name] = Signal(3, name=f"{name}_owed")
            m.d.sync += owed[name].eq(owed[name] + moves - (bus.bvalid & bus.bready))
            m.d.comb += Assert(owed[name] == bus.bvalid + ~ready)
        complete = ~bus.awready & ~bus.wready
        waited = Signal()
        m.d.sync += waited.eq(complete & (~bus.bvalid | bus.bready))
        m.d.comb += [Assert(~waited | new), Assert(~new | waited)]
        # what was taken last, by the harness's own notes
        taken_address, taken_word = Signal.like(bus.awaddr), Signal(36)
        with m.If(address.moves):
            m.d.sync += taken_address.eq(bus.awaddr)
        with m.If(word.moves):
            m.d.sync += taken_word.eq(Cat(bus.wdata, bus.wstrb))
        m.d.comb += [
            Assert(bus.awready | (registers.w_hits == (taken_address[2:] == SCRATCH >> 2))),
            Assert(bus.wready | (Cat(registers.w_data, registers.w_strobe) == taken_word)),
        ]
        before, old_address, old_word = Signal(32), Signal.like(bus.awaddr), Signal(36)
        begun = Signal()
        m.d.sync += [
            begun.eq(1),
            before.eq(registers.scratch_value),
            old_address.eq(taken_address),
            old_word.eq(taken_word),
        ]
        mask = Cat(bit.replicate(8) for bit in old_word[32:])
        hit = old_address[2:] == SCRATCH >> 2
        written = before & ~mask | old_word[:32] & mask
        m.d.comb += [
            Assert(~begun | (registers.scratch_value == Mux(new & hit, written, before))),
            Assert(~new | (bus.bresp == Mux(hit, Response.OKAY, Response.SLVERR))),
        ]

    def _read(self, m: Module, registers: AxiLiteRegisters) -> None:
        bus = registers.bus
        address = _Channel(m, "ar", bus.arvalid, bus.arready, bus.araddr)
        m.d.comb += bus.rready.eq(AnySeq(1))
        new = _holds(m, "r", bus.rvalid, bus.rready, Cat(bus.rdata, bus.rresp))
        owed, waited, taken = Signal(3), Signal(), Signal.like(bus.araddr)
        old_address, before = Signal.like(bus.araddr), Signal(32)
        m.d.sync += [
            owed.eq(owed + address.moves - (bus.rvalid & bus.rready)),
            waited.eq(~bus.arready & (~bus.rvalid | bus.rready)),
            old_address.eq(taken),
            before.eq(registers.scratch_value),
        ]
        with m.If(address.moves):
            m.d.sync += taken.eq(bus.araddr)
        at_id, at_scratch = (old_address[2:] == place >> 2 for place in (ID, SCRATCH))
        value = Mux(at_scratch, before, Mux(at_id, 0x4E475043, 0))
        m.d.comb += [
            Assert(owed == bus.rvalid + ~bus.arready),
            Assert(waited == new),
            Assert(bus.arready | (registers.r_hits == Cat(taken[2:] == place >> 2 for place in (ID, SCRATCH)))),
            Assert(~new | (bus.rdata == value)),
            Assert(~new | (bus.rresp == Mux(at_scratch | at_id, Response.OKAY, Response.SLVERR))),
        ]


class AxisProperties(Elaboratable):
    """AXI4-Stream through both adapters: words leave in order, none lost and none twice, TVALID and what goes with it
    hold until TREADY, TLAST stays with its word, and an incomplete TKEEP is told in the clock of its transfer.

    Environment: a source that keeps the handshake rules and numbers its words; any sink.
    """

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        words = AxisFormat(fields=(AxisField(name="number", bits=8, first_byte=0, stride=1),))
        layout = data.StructLayout({"number": 8, "last": 1})
        m.submodules.source = source = FromAxis(layout, words)
        m.submodules.sink = sink = ToAxis(layout, words)
        s_axis, m_axis = source.axis, sink.axis
        given, taken = Signal(8), Signal(8)
        m.d.comb += [
            Assume(~ResetSignal()),
            sink.i.payload.eq(source.o.payload),
            sink.i.valid.eq(source.o.valid),
            source.o.ready.eq(sink.i.ready),
            m_axis.tready.eq(AnySeq(1)),
        ]
        enters = _Channel(m, "s", s_axis.tvalid, s_axis.tready, Cat(s_axis.tdata, s_axis.tlast, s_axis.tkeep))
        leaves = m_axis.tvalid & m_axis.tready
        _holds(m, "m", m_axis.tvalid, m_axis.tready, Cat(m_axis.tdata, m_axis.tlast, m_axis.tkeep))
        m.d.sync += [given.eq(given + enters.moves), taken.eq(taken + leaves)]
        m.d.comb += [
            Assume(s_axis.tdata == given),
            Assume(s_axis.tlast == given[0]),
            Assert(~m_axis.tvalid | (m_axis.tdata == taken) & (m_axis.tlast == taken[0]) & m_axis.tkeep.all()),
            Assert(source.keep_error == (enters.moves & ~s_axis.tkeep.all())),
        ]
        # the four places in order, the oldest first: full ones lie without a gap in each buffer and are numbered
        number = taken
        for adapter in (sink, source):
            buffer = adapter.buffer
            first, second = buffer.o.payload, data.View(layout, buffer.spare)
            m.d.comb += [
                Assert(~buffer.spare_full | buffer.o.valid),
                Assert(~buffer.o.valid | (first.number == number) & (first.last == number[0])),
                Assert(~buffer.spare_full | (second.number == (number + 1)[:8]) & (second.last != number[0])),
            ]
            behind = Signal(8)
            m.d.comb += behind.eq(number + buffer.o.valid + buffer.spare_full)
            number = behind
        m.d.comb += Assert(number == given)
        return m
