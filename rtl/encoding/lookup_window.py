"""Sharing single-port banks among the corners of a few lookups at once."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, ShapeLike, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.bank_arbiter import PortAddressLayout
from rtl.encoding.bank_select import bank_row_bits

__all__ = ["LookupWindow", "WindowServedLayout"]


class WindowServedLayout(data.StructLayout):
    """Which corners a clock serves: for each place in the window one bit a corner (``take``) and banks (``bank``)."""

    def __init__(self, config: EncodingEngineConfig) -> None:
        corners = config.lookup_window * config.n_corners
        super().__init__({"take": corners, "bank": data.ArrayLayout(unsigned(config.bank_bits), corners)})


class LookupWindow(wiring.Component):
    """Keep ``config.lookup_window`` lookups in a ring; each bank serves the oldest corner that waits for it.

    The corners that wait for a bank are its queue: lookups in their order, and a lookup's corners in theirs. A lookup
    takes the place of the one ``lookup_window`` before it a clock after that one's last corner was served. Lookups
    leave in order, one a clock, a clock after their last corner was served or later.

    Timing: a lookup taken in clock t is served from clock t + 1 on, and leaves (``leave``) in clock t + 2 at the
    earliest; ``address`` and ``served`` come a clock after a corner is served, and hold for one clock. A lookup that
    reads nothing leaves in clock t + 1 at the earliest. ``advance`` depends on registers and ``valid``.

    Parameters
    ----------
    config : the engine, with ``bank_ports`` = 1
    tag : shape of what goes with a lookup

    Members
    -------
    advance : Out(1), the stages before move, and the lookup is taken
    valid : In(1), there is a lookup
    three_dims : In(1), low while a 3-dimensional build runs 2-dimensional grids: corners 4 to 7 read nothing
    reuse : In(1), with ``config.reuse_cells`` only: no corner reads anything
    bank : In(n_corners x bank bits)
    row : In(n_corners x row bits), inside the level
    first_row : In(row bits), of the lookup's level
    tag : In(tag)
    address : Out(PortAddressLayout), 0 for banks that serve nobody
    served : Out(WindowServedLayout), of the same clock as ``address``
    leave : Out(1), the lookup at ``place`` is complete once what is on its way has come
    place : Out(2), its place in the window
    leave_tag : Out(tag), its tag
    """

    def __init__(self, config: EncodingEngineConfig, tag: ShapeLike) -> None:
        self.config = config
        super().__init__(
            {
                "advance": Out(1),
                "valid": In(1),
                "three_dims": In(1),
                **({"reuse": In(1)} if config.reuse_cells else {}),
                "bank": In(data.ArrayLayout(unsigned(config.bank_bits), config.n_corners)),
                "row": In(data.ArrayLayout(unsigned(bank_row_bits(config)), config.n_corners)),
                "first_row": In(bank_row_bits(config)),
                "tag": In(tag),
                "address": Out(PortAddressLayout(config)),
                "served": Out(WindowServedLayout(config)),
                "leave": Out(1),
                "place": Out(range(config.lookup_window)),
                "leave_tag": Out(tag),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        places, corners, banks = config.lookup_window, config.n_corners, config.n_banks
        pending = [Signal(corners, name=f"pending_{place}") for place in range(places)]
        bank = [[Signal(config.bank_bits, name=f"bank_{p}_{c}") for c in range(corners)] for p in range(places)]
        # one bit a bank: the decoder stands before the register
        wants = [[Signal(banks, name=f"wants_{p}_{c}") for c in range(corners)] for p in range(places)]
        row = [[Signal(bank_row_bits(config), name=f"row_{p}_{c}") for c in range(corners)] for p in range(places)]
        # behind[p][c]: the lower corners of the lookup in corner c's bank
        behind = [[Signal(max(1, c), name=f"behind_{p}_{c}") for c in range(corners)] for p in range(places)]
        tags = [Signal(self.tag.shape(), name=f"tag_{place}") for place in range(places)]
        inside = Signal(places)
        newest, oldest = Signal(range(places)), Signal(range(places))

        served = self._serve(m, pending, wants, behind, newest)
        reads = ~self.reuse if config.reuse_cells else Const(1)
        taken = Signal()
        free = Cat(~waiting.any() for waiting in pending)
        m.d.comb += [
            self.advance.eq(~self.valid | free.bit_select(newest, 1)),
            taken.eq(self.valid & self.advance),
            self.leave.eq((inside & free).bit_select(oldest, 1)),
            self.place.eq(oldest),
        ]
        with m.If(self.leave):
            m.d.sync += [oldest.eq(oldest + 1), inside.bit_select(oldest, 1).eq(0)]
        with m.If(taken):
            m.d.sync += [newest.eq(newest + 1), inside.bit_select(newest, 1).eq(1)]
        for place in range(places):
            m.d.sync += pending[place].eq(pending[place] & ~served[place])
            with m.If(taken & (newest == place)):
                m.d.sync += pending[place].eq(Cat(reads if c < 4 else reads & self.three_dims for c in range(corners)))
                m.d.sync += tags[place].eq(self.tag)
                for c in range(corners):
                    lower = Cat(self.bank[c] == self.bank[other] for other in range(c))
                    m.d.sync += [
                        bank[place][c].eq(self.bank[c]),
                        wants[place][c].eq(Cat(self.bank[c] == number for number in range(banks))),
                        row[place][c].eq(self.row[c] + self.first_row),
                        behind[place][c].eq(lower),
                    ]
            with m.If(oldest == place):
                m.d.comb += self.leave_tag.eq(tags[place])
        for number in range(banks):
            chosen = [
                Mux(served[p][c] & wants[p][c][number], row[p][c], 0) for p in range(places) for c in range(corners)
            ]
            m.d.sync += self.address[number].eq(reduce(or_, chosen))
        m.d.sync += self.served.take.eq(Cat(*served))
        m.d.sync += [self.served.bank[p * corners + c].eq(bank[p][c]) for p in range(places) for c in range(corners)]
        return m

    def _serve(
        self, m: Module, pending: list[Signal], wants: list[list[Signal]], behind: list[list[Signal]], newest: Signal
    ) -> list[Value]:
        """Corners served now: for each bank the oldest place's, and of that the lowest. ``newest`` is taken next."""
        config = self.config
        places, corners = range(config.lookup_window), range(config.n_corners)
        # turn[p]: which places are older than place p; the ring starts behind the newest lookup
        older = [Signal(len(places), name=f"older_{place}") for place in places]
        for place in places:
            with m.Switch(newest):
                for start in places:
                    age = (place - start) % len(places)
                    mask = sum(1 << other for other in places if (other - start) % len(places) < age)
                    with m.Case(start):
                        m.d.comb += older[place].eq(mask)
        demand = [Signal(config.n_banks, name=f"demand_{place}") for place in places]
        turn = [Signal(config.n_banks, name=f"turn_{place}") for place in places]
        served = [Signal(len(corners), name=f"served_{place}") for place in places]
        for p in places:
            wanted = [Mux(pending[p][c], wants[p][c], 0) for c in corners]
            m.d.comb += demand[p].eq(reduce(or_, wanted))
            before = [Mux(older[p][other], demand[other], 0) for other in places if other != p]
            m.d.comb += turn[p].eq(demand[p] & ~reduce(or_, before))
            for c in corners:
                first = ~(behind[p][c] & pending[p][:c]).any() if c else Const(1)
                m.d.comb += served[p][c].eq(pending[p][c] & first & (wants[p][c] & turn[p]).any())
        return served
