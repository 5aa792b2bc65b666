"""A frame as a pipeline of batches: in closed form, and as a program on the scheduler unit's cycle model."""

from dataclasses import dataclass

from arch.errors import InputError, check_integer, check_positive
from arch.program import NanoOperation, Predecessor, Program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import simulate
from sim.machine.timeline import Timeline

__all__ = ["FramePipeline"]

_BODY_BATCHES = 8
"""Batches of a loop body: three nano-operations each fit 32 descriptors; two bodies in flight starve no stage."""

_CLOCK_HZ = 1e9
_SCHEDULER = SchedulerConfig(n_descriptors=32, n_operations=8, n_units=4, n_chunks=8)


@dataclass(frozen=True, kw_only=True)
class FramePipeline:
    """Batches that pass through three stages, one batch at a time in each.

    Parameters
    ----------
    name : what it is called in tables and traces
    batches : batches of the frame; up to 8, or a multiple of 8
    batch_points : points of the largest batch
    launch_us : the host starts the batch's command and kernel
    ngpc_us : the cluster encodes and infers
    rest_us : the GPU's remaining kernels
    memory_us : the memory hands the batch to the cluster and takes the results, at the same time; the cluster's stage
        takes the longer of the two
    rest_memory_us : of another batch, the memory serves what the remaining kernels move besides points and results; the
        cluster's traffic waits that long
    """

    name: str
    batches: int
    batch_points: int
    launch_us: float
    ngpc_us: float
    rest_us: float
    memory_us: float = 0.0
    rest_memory_us: float = 0.0

    def __post_init__(self) -> None:
        check_integer("batches", self.batches, 1, 1 << 19)
        if self.batches != self.whole_bodies(self.batches):
            raise InputError(f"batches must be at most 8 or a multiple of 8, not {self.batches}")
        check_integer("batch_points", self.batch_points, 1, 1 << 24)
        for stage, us in self.stages_us.items():
            check_positive(f"time of stage {stage}", us)

    @staticmethod
    def whole_bodies(batches: int) -> int:
        """``batches`` rounded up to what loop bodies of 8 can make: itself up to 8, then the next multiple of 8."""
        return batches if batches <= _BODY_BATCHES else -(-batches // _BODY_BATCHES) * _BODY_BATCHES

    @property
    def stages_us(self) -> dict[str, float]:
        """Time of a batch in each stage, in the order it passes them."""
        served_us = self.memory_us + self.rest_memory_us
        return {"launch": self.launch_us, "ngpc": max(self.ngpc_us, served_us), "rest": self.rest_us}

    @property
    def limiter(self) -> str:
        """The longest stage; ``memory`` if that is the cluster's and it waits for the memory."""
        longest = max(self.stages_us, key=self.stages_us.__getitem__)
        return "memory" if longest == "ngpc" and self.stages_us["ngpc"] > self.ngpc_us else longest

    @property
    def frame_us(self) -> float:
        """Closed form: the first batch through all stages, the others behind it at the pace of the longest."""
        stages = self.stages_us.values()
        return sum(stages) + (self.batches - 1) * max(stages)

    @property
    def program(self) -> Program:
        """The scheduler unit's program: a chunk is a batch, the loop body up to eight of them."""
        chunks = min(self.batches, _BODY_BATCHES)
        stages = (
            ("Launch", "host", self.launch_us, ()),
            ("EncodeMlp", "ngpc", self.stages_us["ngpc"], (Predecessor(operation="Launch"),)),
            ("Rest", "sm", self.rest_us, (Predecessor(operation="EncodeMlp"),)),
        )
        return Program(
            name=self.name,
            units=("host", "ngpc", "sm"),
            chunk_rows=self.batch_points,
            n_chunks=chunks,
            nano_operations=tuple(
                NanoOperation(
                    name=f"{operation}{chunk}", operation=operation, unit=unit, chunks=1 << chunk, duration_us=us,
                    predecessors=predecessors,
                )
                for chunk in range(chunks)
                for operation, unit, us, predecessors in stages
            ),
            count=self.batches // chunks,
        )  # fmt: skip

    def timeline(self) -> Timeline:
        """Run the program on the scheduler unit's cycle model."""
        return Timeline.of(simulate(self.program, _SCHEDULER, clock_hz=_CLOCK_HZ), _CLOCK_HZ)
