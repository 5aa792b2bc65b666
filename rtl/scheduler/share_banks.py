"""The shares of the descriptors, and the last step of a choice."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.descriptor import index_bits
from arch.scheduler import SchedulerConfig
from rtl.scheduler.signature import BANK, first_layout, shares_layout

__all__ = ["ShareBanks"]


class ShareBanks(wiring.Component):
    """Hold the shares by place, and show for every unit which of its two candidates is chosen, with its shares.

    Shares are looked up in every bank of places and for both candidates before one is taken: whether the newer
    iteration's goes first is known last.

    Timing
    ------
    Combinational (latency 0).

    Parameters
    ----------
    config : the scheduler unit

    Members
    -------
    load_valid, load_place, load_shares : In, writes the shares of a place
    first_older, first_newer : In(first) of every unit, the place of either iteration's best
    is_newer : In(n_units), the newer iteration's goes first
    fixed, fixed_at : In of every unit, its choice is this place, whatever is best
    choice : Out of every unit, the place of the best; 0 if it has none
    shares : Out(shares) of every unit, those of the best; 0 if it has none
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        index, n_units = index_bits(config.n_descriptors), config.n_units
        super().__init__(
            {
                "load_valid": In(1),
                "load_place": In(index),
                "load_shares": In(shares_layout(config)),
                "first_older": In(first_layout(config)).array(n_units),
                "first_newer": In(first_layout(config)).array(n_units),
                "is_newer": In(n_units),
                "fixed": In(n_units),
                "fixed_at": In(index).array(n_units),
                "choice": Out(index).array(n_units),
                "shares": Out(shares_layout(config)).array(n_units),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self.config
        banks = []
        for number in range(-(-config.n_descriptors // BANK)):
            bank = memory.Memory(shape=shares_layout(config), depth=min(BANK, config.n_descriptors), init=[])
            m.submodules[f"bank{number}"] = bank
            write = bank.write_port()
            m.d.comb += [
                write.en.eq(self.load_valid & (self.load_place // BANK == number)),
                write.addr.eq(self.load_place),
                write.data.eq(self.load_shares),
            ]
            banks.append(bank)
        for unit in range(config.n_units):
            is_newer, found = self.is_newer[unit], []
            for first in (self.first_older[unit], self.first_newer[unit]):
                place, shares = self._look_up(m, first, banks)
                # before the choice between the two, which comes last
                fixed = _only(self.fixed[unit], self.fixed_at[unit])
                found.append(Cat(_only(~self.fixed[unit], place) | fixed, shares))
            older, newer = found
            # gates and no multiplexers, for which synthesis would share the ports and look up late
            m.d.comb += Cat(self.choice[unit], self.shares[unit].as_value()).eq(
                _only(is_newer, newer) | _only(~is_newer, older)
            )
        return m

    def _look_up(self, m: Module, first: data.View, banks: list[memory.Memory]) -> tuple[Value, Value]:
        """A place and its shares."""
        found, shares = Const(0, index_bits(self.config.n_descriptors)), Const(0)
        for number, (bank, at) in enumerate(zip(banks, first.banks, strict=True)):
            read = bank.read_port(domain="comb")
            m.d.comb += read.addr.eq(at.place)
            place = Cat(at.place, Const(number, len(found) - len(at.place)))
            found |= _only(at.any, place[: len(found)])
            shares |= _only(at.any, read.data.as_value())
        return found, shares


def _only(when: Value, value: Value) -> Value:
    """A value, or 0."""
    return value & when.replicate(len(value))
