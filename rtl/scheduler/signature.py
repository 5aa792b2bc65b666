"""Shapes and interfaces of the scheduler unit; field widths come from ``arch.descriptor``."""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import Out

from arch.descriptor import COUNT_BITS, control_fields, descriptor_fields, index_bits, load_data_bits
from arch.scheduler import SchedulerConfig

__all__ = [
    "Completion",
    "LoadTable",
    "control_layout",
    "descriptor_layout",
    "event_layout",
    "footprint_layout",
    "issue_layout",
    "load_layout",
    "load_signature",
    "pick_layout",
    "shares_layout",
    "window_layout",
]


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


def pick_layout(config: SchedulerConfig) -> data.StructLayout:
    """A chosen nano-operation: descriptor and parity of its iteration."""
    return data.StructLayout({"index": index_bits(config.n_descriptors), "parity": 1})


def footprint_layout(config: SchedulerConfig) -> data.StructLayout:
    """What a nano-operation holds and marks while it is in flight."""
    return data.StructLayout(
        {
            "chunks": config.n_chunks,
            "operation": index_bits(config.n_operations),
            "announce_start": 1,
            "shares": shares_layout(config),
        }
    )


def event_layout(config: SchedulerConfig) -> data.StructLayout:
    """A start or a completion on its way to the scoreboard, with all it changes."""
    return data.StructLayout(
        {
            "start": 1,
            "unit": index_bits(config.n_units),
            "parity": 1,
            "footprint": footprint_layout(config),
        }
    )


def window_layout() -> data.StructLayout:
    """The two iterations in flight: parity of the older one, and which of the two is the last of the loop."""
    return data.StructLayout({"running": 1, "old": 1, "old_is_last": 1, "new_is_last": 1})
