"""The nano-batch operation scheduler unit as hardware: its build-time parameters."""

from dataclasses import dataclass

from arch.errors import InputError, check_integer, check_one_of
from arch.program import MAX_CHUNKS, MAX_PREDECESSORS, Program

__all__ = ["SchedulerConfig"]


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """Build-time parameters of the scheduler unit.

    Parameters
    ----------
    n_descriptors : nano-operations of a loop body: 8, 16, 32 or 64
    n_operations : operations of a program, at most ``n_descriptors``
    n_units : issue and completion ports, 1 to 8
    n_pools : shared resources, 1 to 4
    n_chunks : chunks of a batch, 1 to 64
    share_bits : width of a credit counter, 1 to 8
    trace : a stream of four clocks a nano-operation, and counters of what units waited for
    check_load : ``start`` checks the loaded program first and refuses an illegal one
    supervised : errors of units, what was dropped because of them, abort and interrupt
    watchdog_bits : width of a unit's limit of clocks; 0: no watchdog; of supervised builds only
    buffered : the next program is loaded while one runs
    """

    n_descriptors: int = 32
    n_operations: int = 16
    n_units: int = 4
    n_pools: int = 1
    n_chunks: int = 16
    share_bits: int = 7
    check_load: bool = False
    trace: bool = False
    supervised: bool = False
    watchdog_bits: int = 0
    buffered: bool = False

    def __post_init__(self) -> None:
        check_one_of("n_descriptors", self.n_descriptors, (8, 16, 32, 64))
        check_integer("n_operations", self.n_operations, 1, self.n_descriptors)
        check_integer("n_units of the scheduler", self.n_units, 1, 8)
        check_integer("n_pools", self.n_pools, 1, 4)
        check_integer("n_chunks of the scheduler", self.n_chunks, 1, MAX_CHUNKS)
        check_integer("share_bits", self.share_bits, 1, 8)
        check_one_of("check_load", self.check_load, (False, True))
        check_one_of("trace", self.trace, (False, True))
        check_one_of("supervised", self.supervised, (False, True))
        check_one_of("buffered", self.buffered, (False, True))
        check_integer("watchdog_bits", self.watchdog_bits, 0, 48 if self.supervised else 0)

    @classmethod
    def for_program(cls, program: Program) -> "SchedulerConfig":
        """The default unit, with more of whatever ``program`` needs more of."""
        least = cls()
        descriptors = next(size for size in (8, 16, 32, 64) if size >= len(program.nano_operations))
        credits = max([pool.capacity for pool in program.pools], default=0)
        return cls(
            n_descriptors=max(least.n_descriptors, descriptors),
            n_operations=max(least.n_operations, len(program.operations)),
            n_units=max(least.n_units, len(program.units)),
            n_pools=max(least.n_pools, len(program.pools)),
            n_chunks=max(least.n_chunks, program.n_chunks),
            share_bits=max(least.share_bits, credits.bit_length()),
        )

    @property
    def n_predecessors(self) -> int:
        """Predecessor fields of a descriptor."""
        return MAX_PREDECESSORS

    def check_fits(self, program: Program) -> None:
        """Refuse a program this unit cannot hold."""
        for what, found, most in (
            ("nano-operations", len(program.nano_operations), self.n_descriptors),
            ("operations", len(program.operations), self.n_operations),
            ("units", len(program.units), self.n_units),
            ("pools", len(program.pools), self.n_pools),
            ("chunks", program.n_chunks, self.n_chunks),
            (
                "credits of a pool",
                max([pool.capacity for pool in program.pools], default=0),
                2**self.share_bits - 1,
            ),
        ):
            if found > most:
                raise InputError(
                    f"{what} of program {program.name} must be at most {most} for this scheduler, not {found}"
                )
