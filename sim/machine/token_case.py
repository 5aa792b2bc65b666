"""One model on one node with one dense batch: which program it runs, in which shape, at which level of cost.

Levels, each with what the one before leaves out:

* ``roofline`` - every operation takes the longest of its three resources' times at their peaks, nothing slows another;
* ``calibrated`` - measured solo times, launches and element-wise operations included;
* ``interference`` - P(R) wherever operations overlap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from arch.device import NodeConfig
from arch.errors import InputError
from arch.language_model import LanguageModelConfig
from arch.program import MAX_CHUNKS, Program
from arch.program_file import find_program
from arch.scheduler import SchedulerConfig
from sim.engine.scheduler import Rates, simulate
from sim.machine.decoder_program import (
    POOL,
    beside_arrays,
    fit_to_batch,
    has_known_operations,
    layer_durations_us,
    one_stream,
    shared_rates,
    solo_durations_us,
    timed,
)
from sim.machine.program_shape import layer_in_one, least_chunks, resized, with_offload, with_output
from sim.machine.timeline import Timeline
from sim.machine.token_times import TokenTimes

__all__ = ["CLOCK_HZ", "EXECUTIONS", "LEVELS", "PROGRAMS", "TokenCase", "program_name"]

EXECUTIONS = ("sequential", "nano_only", "overlapped", "overlapped_offload")

LEVELS = ("roofline", "calibrated", "interference")

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {
        "llama2_70b": "llama2_70b_2048",
        "llama3_70b": "llama2_70b_2048",
        "qwen2_72b": "llama2_70b_2048",
        "deepseek_67b": "llama2_70b_2048",
        "llama3_8b": "llama3_8b_1024",
        "mixtral_8x7b": "mixtral_8x7b_4096",
    }
)
"""Program each model was published with; the number of layers is the model's."""

_BY_NETWORK = MappingProxyType({True: "llama2_70b_2048", False: "llama3_8b_1024"})
"""Structure for a model on several GPUs, or on one, where it was published with the other."""

CLOCK_HZ = 1_000_000_000
"""Scheduler clock; the few clocks from a completion to the next issue are ns beside kernels of 10 us and more."""


Scheduled = tuple[Program, tuple[int, ...], Rates | None]
"""Program, solo clocks of its nano-operations, and the rates they run at beside one another."""


def program_name(model: LanguageModelConfig, node: NodeConfig) -> str:
    """Program preset of a model on a node: its own, or the structure for as many GPUs."""
    own = PROGRAMS.get(model.name)
    if own is not None and ("network" in find_program(own).program.units) == (node.n_gpus > 1):
        return own
    return _BY_NETWORK[node.n_gpus > 1]


@dataclass(frozen=True, kw_only=True)
class TokenCase:
    """What is run, and under which rules.

    Parameters
    ----------
    times : solo times of the model, node and batch
    preset : program preset or path
    interference, sharing : P(R) table and what unused shares do
    level : one of ``LEVELS``
    output : form of the output projection, one of :data:`sim.machine.program_shape.OUTPUTS`
    """

    times: TokenTimes
    preset: str
    interference: str = "artifact"
    sharing: str = "shared"
    level: str = "interference"
    output: str = "program"

    def available(self) -> tuple[str, ...]:
        """Executions this case has a program for."""
        return tuple(execution for execution in EXECUTIONS if self._reason_against(execution) is None)

    def run(self, execution: str) -> Timeline:
        """The execution on the scheduler's cycle model.

        Raises
        ------
        InputError
            If the program does not belong to the model, node or batch.
        """
        program, durations, rates = self.scheduled(execution)
        run = simulate(program, SchedulerConfig.for_program(program), durations_clk=durations, rates=rates)
        return Timeline.of(run, CLOCK_HZ)

    def scheduled(self, execution: str, clock_hz: float = CLOCK_HZ) -> Scheduled:
        """Program, solo clocks of its nano-operations and the rates they run at beside one another."""
        refused = self._reason_against(execution)
        if refused is not None:
            raise InputError(refused)
        if execution == "sequential":
            body = self._in_one()
            return self._with(body, layer_durations_us(body, self.times), None, clock_hz)
        loaded = replace(find_program(self.preset).program, count=self.times.model.n_layers)
        if not has_known_operations(loaded):
            return self._own_times(loaded, execution, clock_hz)
        body = self._shaped(loaded, execution)
        solo = solo_durations_us(body, self.times)
        if execution == "nano_only" or self.level != "interference":
            alone = one_stream(body) if execution == "nano_only" else body
            return self._with(alone, solo, None, clock_hz)
        return self._beside(body, solo, clock_hz)

    def _beside(self, body: Program, solo: tuple[float, ...], clock_hz: float) -> Scheduled:
        """The nano-operations slowed by what runs beside them."""
        if self.times.node.gpu.systolic is not None:
            freed, rates = beside_arrays(body, self.times, self.interference)
            return self._with(freed, solo, rates, clock_hz)
        if self.sharing == "reserved":
            slowed = timed(body, self.times, self.interference)
            return self._with(slowed, tuple(nano.duration_us for nano in slowed.nano_operations), None, clock_hz)
        return self._with(body, solo, shared_rates(body, self.interference), clock_hz)

    def _with(self, body: Program, durations_us: tuple[float, ...], rates: Rates | None, clock_hz: float) -> Scheduled:
        """The program with these times in it and in clocks."""
        clocks = tuple(max(1, round(us * clock_hz / 1e6)) for us in durations_us)
        nanos = zip(body.nano_operations, clocks, strict=True)
        timed_nanos = tuple(replace(nano, duration_us=clk * 1e6 / clock_hz) for nano, clk in nanos)
        return replace(body, nano_operations=timed_nanos), clocks, rates

    def _in_one(self) -> Program:
        times = self.times
        return layer_in_one(
            name=f"{times.model.name}_in_sequence",
            count=times.model.n_layers,
            networked=times.node.n_gpus > 1,
            output="all_gather" if self.output == "all_gather" else "all_reduce",
            decode=times.batch.decode_rows > 0,
            prefill=times.batch.prefill_rows > 0,
        )

    def _shaped(self, loaded: Program, execution: str) -> Program:
        chunks = self.times.batch.rows // loaded.chunk_rows
        body = loaded if chunks == loaded.n_chunks else resized(loaded, chunks)
        if execution == "overlapped_offload":
            body = with_offload(body)
        return fit_to_batch(with_output(body, self.output), self.times.batch)

    def _own_times(self, body: Program, execution: str, clock_hz: float) -> Scheduled:
        """A program with times of its own: slowed by P(R) if it has shares to say how much."""
        rates = None
        if execution == "nano_only":
            body = one_stream(body)
        elif self.level == "interference" and any(pool.name == POOL for pool in body.pools):
            rates = shared_rates(body, self.interference)
        return self._with(body, tuple(nano.duration_us for nano in body.nano_operations), rates, clock_hz)

    def _reason_against(self, execution: str) -> str | None:
        """Sentence saying why an execution cannot be timed, None if it can."""
        if execution == "sequential":
            return None
        loaded, node, rows = find_program(self.preset).program, self.times.node, self.times.batch.rows
        if not {"gemm", "gemv"} <= set(loaded.units):
            return f"program must be one of a decoder layer, with units gemm and gemv, not {self.preset!r}"
        if ("network" in loaded.units) != (node.n_gpus > 1):
            wanted = "several GPUs, such as 8xa100_80gb" if "network" in loaded.units else "a single GPU"
            return f"device must be {wanted} for program {self.preset}, not {node.name!r}"
        if not has_known_operations(loaded):
            return self._reason_against_own_times(loaded, execution)
        step, least = loaded.chunk_rows, least_chunks(loaded) * loaded.chunk_rows
        most = MAX_CHUNKS * step
        if rows % step or not least <= rows <= most:
            return (
                f"rows of the dense batch must be a multiple of {step} from {least} to {most} for program "
                f"{self.preset}, not {rows}; take shorter lengths or more memory if {node.name} has no room for more"
            )
        return None

    def _reason_against_own_times(self, loaded: Program, execution: str) -> str | None:
        rows = loaded.n_chunks * loaded.chunk_rows
        if execution == "overlapped_offload":
            return f"program must be one of NanoFlow's operations for overlapped_offload, not {self.preset!r}"
        if self.output != "program":
            return f"output must be program for {self.preset!r}, which has times of its own, not {self.output!r}"
        if self.level == "roofline":
            return f"level must be calibrated or interference for {self.preset!r}, which has times of its own"
        if rows != self.times.batch.rows:
            return f"rows of the dense batch must be {rows} for program {self.preset}, not {self.times.batch.rows}"
        return None
