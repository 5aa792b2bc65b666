"""The registers of ``arch/ngpc.rdl`` on an AXI4-Lite bus."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out

from arch.register_map import REGISTER_BYTES, FieldKind, Register, RegisterField, RegisterMap
from rtl.bus.axi import AxiLiteSignature, Response

__all__ = ["AxiLiteRegisters"]

_FLOW = {FieldKind.INPUT: In, FieldKind.STORAGE: Out, FieldKind.PULSE: Out, FieldKind.STICKY: Out}


class AxiLiteRegisters(Component):
    """Answer reads and writes of 32-bit registers.

    Write addresses and write data arrive in any order and any distance; one write and one read can be under way at a
    time, and they do not wait for each other. The two lowest address bits are ignored. WSTRB writes single bytes: of a
    sticky or pulse field only bits whose byte is written count. An address without a register, and a write to a
    register that software cannot write, answer SLVERR, read as 0 and change nothing.

    *Timing*: all outputs of the bus are registers, and an address is decoded in the clock it is taken in. An answer is
    offered two clocks after the transfer of the address (of a write: the later of address and data); one access every
    two clocks each way.

    Parameters
    ----------
    registers : the map

    Members
    -------
    bus : In(AxiLiteSignature())
    <register>_<field> : for each field that the hardware sees. In(width) of an ``INPUT`` field, sampled with the read;
        Out(width) of a ``STORAGE`` field; Out(width) of a ``PULSE`` field, high one clock after the write; Out(width)
        of a ``STICKY`` field, with ``<register>_<field>_set`` : In(width), which wins over a clearing write

    Attributes
    ----------
    w_hits, w_data, w_strobe, r_hits : what was taken from the bus and waits while its READY is low; of an address a bit
        for each register, of the writable ones for ``w_hits``: it is that one's
    """

    def __init__(self, registers: RegisterMap) -> None:
        self.registers = registers
        members = {"bus": In(AxiLiteSignature())}
        for register, field in _fields(registers):
            if field.kind in _FLOW:
                members[_name(register, field)] = _FLOW[field.kind](field.width, init=field.reset)
            if field.kind is FieldKind.STICKY:
                members[f"{_name(register, field)}_set"] = In(field.width)
        super().__init__(members)
        self._writable = [register for register in registers.registers if register.writable]
        self.w_hits, self.r_hits = Signal(len(self._writable)), Signal(len(registers.registers))
        self.w_data, self.w_strobe = Signal.like(self.bus.wdata), Signal.like(self.bus.wstrb)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        bus = self.bus
        hits, word, strobe = self.w_hits, self.w_data, self.w_strobe
        address_held, word_held = Signal(), Signal()
        act = Signal()
        m.d.comb += [
            bus.awready.eq(~address_held),
            bus.wready.eq(~word_held),
            act.eq(address_held & word_held & (~bus.bvalid | bus.bready)),
        ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [hits.eq(_hits(bus.awaddr, self._writable)), address_held.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [word.eq(bus.wdata), strobe.eq(bus.wstrb), word_held.eq(1)]
        with m.If(act):
            m.d.sync += [address_held.eq(0), word_held.eq(0), bus.bvalid.eq(1)]
            m.d.sync += bus.bresp.eq(Mux(hits.any(), Response.OKAY, Response.SLVERR))
        mask = Cat(bit.replicate(8) for bit in strobe)
        for register, hit in zip(self._writable, hits, strict=True):
            here = act & hit
            for field in register.fields:
                part = slice(field.low, field.low + field.width)
                self._write_field(m, register, field, word[part], mask[part] & here.replicate(field.width))

    def _write_field(self, m: Module, register: Register, field: RegisterField, word: Value, mask: Value) -> None:
        if not field.writable:
            return
        value = getattr(self, _name(register, field))
        if field.kind is FieldKind.STORAGE:
            m.d.sync += value.eq(value & ~mask | word & mask)
        elif field.kind is FieldKind.PULSE:
            m.d.sync += value.eq(word & mask)
        else:
            happened = getattr(self, f"{_name(register, field)}_set")
            m.d.sync += value.eq(value & ~(word & mask) | happened)

    def _read(self, m: Module) -> None:
        bus = self.bus
        hits, held = self.r_hits, Signal()
        values = [self._value(register) for register in self.registers.registers]
        m.d.comb += bus.arready.eq(~held)
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [hits.eq(_hits(bus.araddr, self.registers.registers)), held.eq(1)]
        with m.If(held & (~bus.rvalid | bus.rready)):
            m.d.sync += [
                held.eq(0),
                bus.rvalid.eq(1),
                bus.rdata.eq(
                    reduce(or_, (value & hit.replicate(len(value)) for value, hit in zip(values, hits, strict=True)))
                ),
                bus.rresp.eq(Mux(hits.any(), Response.OKAY, Response.SLVERR)),
            ]

    def _value(self, register: Register) -> Value:
        bits: Value = Const(0, 8 * REGISTER_BYTES)
        for field in register.fields:
            if field.kind is FieldKind.CONSTANT:
                bits = bits | Const(field.reset << field.low, 8 * REGISTER_BYTES)
            elif field.kind is not FieldKind.PULSE:
                bits = bits | (getattr(self, _name(register, field)) << field.low)
        return bits[: 8 * REGISTER_BYTES]


def _fields(registers: RegisterMap) -> list[tuple[Register, RegisterField]]:
    return [(register, field) for register in registers.registers for field in register.fields]


def _name(register: Register, field: RegisterField) -> str:
    return f"{register.name}_{field.name}"


def _hits(address: Value, registers: Sequence[Register]) -> Value:
    """A bit for each register: the address is its own."""
    return Cat(address[2:] == register.address >> 2 for register in registers)
