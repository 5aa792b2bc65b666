"""The corners of each level's last lookup, for one that hits the same cell."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig

__all__ = ["LastCorners"]


class LastCorners(wiring.Component):
    """Pass the gathered corners of a lookup on, or those of the lookup before it at its level.

    Timing: latency ``config.last_corners_latency`` = 1 clock, initiation interval 1, also for lookups of one level one
    behind the other.

    Parameters
    ----------
    config : the engine

    Members
    -------
    valid : In(1), there is a lookup
    slot : In(levels_per_engine), its level in this engine
    reuse : In(1), it takes the corners of the lookup before it
    gathered : In(n_corners x row_bits)
    corner : Out(n_corners x row_bits)
    """

    def __init__(self, config: EncodingEngineConfig) -> None:
        self.config = config
        corners = data.ArrayLayout(config.row_bits, config.n_corners)
        super().__init__(
            {
                "valid": In(1),
                "slot": In(range(config.levels_per_engine)),
                "reuse": In(1),
                "gathered": In(corners),
                "corner": Out(corners),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        gathered = self.gathered.as_value()
        m.submodules.rows = rows = memory.Memory(
            shape=len(gathered), depth=max(2, self.config.levels_per_engine), init=[]
        )
        write, read = rows.write_port(), rows.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(self.slot),
            write.addr.eq(self.slot),
            write.data.eq(Mux(self.reuse, read.data, gathered)),
            write.en.eq(self.valid & ~self.reuse),
        ]
        m.d.sync += self.corner.eq(write.data)
        return m
