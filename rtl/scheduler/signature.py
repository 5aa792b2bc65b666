"""Shapes and interfaces of the scheduler unit; field widths come from ``arch.descriptor``."""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import Out

from arch.descriptor import COUNT_BITS, control_fields, descriptor_fields, index_bits, load_data_bits
from arch.scheduler import SchedulerConfig

__all__ = [
    "BANK_BITS",
    "Completion",
    "LoadTable",
    "banks_layout",
    "control_layout",
    "descriptor_layout",
    "event_layout",
    "footprint_layout",
    "issue_layout",
    "load_layout",
    "load_signature",
    "shares_layout",
    "wait_layout",
    "window_layout",
]


BANK_BITS = 4
"""Places of a bank of shares, as power of two: what one distributed memory of an FPGA holds."""


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


def banks_layout(config: SchedulerConfig) -> data.ArrayLayout:
    """Shares by bank of the table's places."""
    return data.ArrayLayout(shares_layout(config), -(-config.n_descriptors >> BANK_BITS))


def wait_layout(config: SchedulerConfig) -> data.StructLayout:
    """What a descriptor waits for; ``offset`` is the layer offset, and -2 where there is no predecessor."""
    fields: dict[str, int] = {"chunks": config.n_chunks}
    for number in range(config.n_predecessors):
        fields |= {
            f"operation{number}": index_bits(config.n_operations),
            f"offset{number}": 2,
            f"start{number}": 1,
            f"all{number}": 1,
        }
    return data.StructLayout(fields)


def footprint_layout(config: SchedulerConfig) -> data.StructLayout:
    """What a nano-operation holds and marks while it is in flight."""
    return data.StructLayout(
        {
            "chunks": config.n_chunks,
            "operation": index_bits(config.n_operations),
            "announce_start": 1,
            "index": index_bits(config.n_descriptors),
            "takes_shares": 1,
            "shares": shares_layout(config),
        }
    )


def event_layout(config: SchedulerConfig) -> data.StructLayout:
    """A start or a completion on its way to the scoreboard, with all it changes; ``unit`` has a bit a unit."""
    return data.StructLayout(
        {
            "start": 1,
            "completed": 1,
            "unit": config.n_units,
            "parity": 1,
            "operation": index_bits(config.n_operations),
            "shares": shares_layout(config),
        }
    )


def window_layout() -> data.StructLayout:
    """The two iterations in flight: parity of the older one, which of the two or the next is the loop's last, and
    whether there is a next."""
    return data.StructLayout(
        {"running": 1, "old": 1, "old_is_last": 1, "new_is_last": 1, "next_is_last": 1, "has_next": 1}
    )
