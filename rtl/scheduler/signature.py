"""Shapes and interfaces of the scheduler unit; field widths come from ``arch.descriptor``."""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import Out

from arch.descriptor import COUNT_BITS, control_fields, descriptor_fields, index_bits, load_data_bits
from arch.scheduler import SchedulerConfig

__all__ = [
    "BANK",
    "Completion",
    "LoadTable",
    "column_layout",
    "control_layout",
    "descriptor_layout",
    "first_layout",
    "footprint_layout",
    "issue_layout",
    "load_layout",
    "load_signature",
    "shares_layout",
    "totals_layout",
    "window_layout",
]


BANK = 16
"""Places whose shares lie in one memory: what a distributed memory of an FPGA holds."""


class LoadTable(enum.Enum, shape=2):
    """Table a load word is for; the numbers are those of ``arch.descriptor.LoadTable``."""

    DESCRIPTOR = 0
    OPERATION = 1
    CONTROL = 2


def descriptor_layout(config: SchedulerConfig) -> data.StructLayout:
    """A descriptor, as packed by ``arch.descriptor.Descriptor.pack``."""
    return data.StructLayout(descriptor_fields(config))


def control_layout(config: SchedulerConfig) -> data.StructLayout:
    """The control word, as packed by ``arch.descriptor.PackedProgram.control``."""
    return data.StructLayout(control_fields(config))


def load_layout(config: SchedulerConfig) -> data.StructLayout:
    """A word of the load port: table, address in the table, data in the low bits."""
    return data.StructLayout(
        {"table": LoadTable, "address": index_bits(config.n_descriptors), "data": load_data_bits(config)}
    )


def load_signature(config: SchedulerConfig) -> stream.Signature:
    """The load port."""
    return stream.Signature(load_layout(config))


def issue_layout(config: SchedulerConfig) -> data.StructLayout:
    """What an issue port says: descriptor and iteration of the nano-operation to execute."""
    return data.StructLayout({"index": index_bits(config.n_descriptors), "iteration": COUNT_BITS})


class Completion(wiring.Signature):
    """One clock of ``valid`` says that the unit's nano-operation is complete; ``index`` must be its descriptor.

    Parameters
    ----------
    config : the scheduler unit
    """

    def __init__(self, config: SchedulerConfig) -> None:
        super().__init__({"valid": Out(1), "index": Out(index_bits(config.n_descriptors))})


def shares_layout(config: SchedulerConfig) -> data.ArrayLayout:
    """Credits by pool."""
    return data.ArrayLayout(config.share_bits, config.n_pools)


def column_layout(config: SchedulerConfig) -> data.StructLayout:
    """Places that wait for an event: of their own iteration, of the iteration before theirs, of the one after."""
    return data.StructLayout(dict.fromkeys(("same", "before", "after"), config.n_descriptors))


def totals_layout(config: SchedulerConfig) -> data.StructLayout:
    """How many events every place waits for, by the same three; at most one of every other place."""
    counts = data.ArrayLayout(index_bits(config.n_descriptors), config.n_descriptors)
    return data.StructLayout(dict.fromkeys(("same", "before", "after"), counts))


def first_layout(config: SchedulerConfig) -> data.StructLayout:
    """A place as banks of places: in which one it is, and where there; 0 in the others."""
    n_banks, depth = -(-config.n_descriptors // BANK), min(BANK, config.n_descriptors)
    bank = data.StructLayout({"any": 1, "place": index_bits(depth)})
    return data.StructLayout({"banks": data.ArrayLayout(bank, n_banks)})


def footprint_layout(config: SchedulerConfig) -> data.StructLayout:
    """What else is looked up of a nano-operation once it is chosen."""
    return data.StructLayout({"index": index_bits(config.n_descriptors), "announce_start": 1})


def window_layout() -> data.StructLayout:
    """The two iterations in flight: parity of the older one, which of the two or the next is the loop's last, and
    whether there is a next."""
    return data.StructLayout(
        {"running": 1, "old": 1, "old_is_last": 1, "new_is_last": 1, "next_is_last": 1, "has_next": 1}
    )
