"""Blocks of which a design has many: generated once, used as often as it likes."""

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["ModuleLibrary", "SharedModule"]


class ModuleLibrary:
    """The shared modules of one conversion, by name; the ``platform`` that ``rtl.verilog`` elaborates with."""

    def __init__(self) -> None:
        self.blocks: dict[str, wiring.Component] = {}


class SharedModule(wiring.Component):
    """A block that is one module of the generated Verilog, whichever number of times the design has it.

    Amaranth writes a module for every submodule, so a few hundred multiply-adds would be a few hundred modules, and
    Verilator would translate and g++ compile each of them. In Amaranth's own simulator this is the block itself.

    Timing: the block's.

    Parameters
    ----------
    block : a clocked component with plain ports only and no other parameters than ``name`` tells
    name : name of the module; blocks of one name are taken to be equal

    Members
    -------
    those of the block
    """

    def __init__(self, block: wiring.Component, name: str) -> None:
        self.block = block
        self.name = name
        super().__init__(block.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        members = self.signature.members.items()
        if not isinstance(platform, ModuleLibrary):
            m.submodules.block = self.block
            for member, port in members:
                inner, outer = Value.cast(getattr(self.block, member)), Value.cast(getattr(self, member))
                m.d.comb += inner.eq(outer) if port.flow is In else outer.eq(inner)
            return m
        if platform.blocks.setdefault(self.name, self.block) is not self.block:
            self.block._MustUse__used = True  # another one stands for it, of which Amaranth knows nothing
        ports = {
            f"{'i' if port.flow is In else 'o'}_{member}": Value.cast(getattr(self, member)) for member, port in members
        }
        m.submodules.block = Instance(self.name, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)
        return m
