"""The driver of a cluster: loads fields, runs points, reads counters, over any :class:`host.transport.Transport`."""

from dataclasses import dataclass

import numpy as np

from arch.axis_format import load_format, points_format, results_format
from arch.checkpoint import FloatField, QuantizedField
from arch.errors import InputError, check_integer
from arch.load import LoadImage
from arch.nfp import NFP_COUNTERS, ClusterConfig
from arch.nfp_image import n_results, nfp_image
from arch.number_format import COORDINATE
from arch.program import Program
from arch.program_image import program_image
from arch.register_map import register_map
from arch.supervision import Decision, FailureCause, UnitState
from host.transport import Transport

__all__ = ["Driver", "DriverRun", "ProgramStatus", "UnitStatus"]


@dataclass(frozen=True, kw_only=True)
class DriverRun:
    """Points that went through the hardware.

    Parameters
    ----------
    outputs : (points, outputs) int64 raw results, 0 where ``errors``; of ``fp16`` the bits as int16
    errors : (points,) bool, points whose processor failed
    """

    outputs: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ProgramStatus:
    """What the scheduler unit does.

    Parameters
    ----------
    busy : a program runs, or is checked
    refused, fault, fault_index : the last program was refused; why (``arch.load_check``), and at which descriptor
    protocol_error : a completion came that nothing in flight explains
    run_index : descriptor of the cluster's nano-operation in work, or None
    clocks : since the start; holds after the end
    """

    busy: bool
    refused: bool
    fault: int
    fault_index: int
    protocol_error: bool
    run_index: int | None
    clocks: int


@dataclass(frozen=True, kw_only=True)
class UnitStatus:
    """What a unit of a supervised scheduler stands at.

    Parameters
    ----------
    state, cause : idle, offered, in flight or failed; of a failed one, why
    index, iteration : descriptor and iteration of its nano-operation
    attempt : of its present execution, or the next
    """

    state: UnitState
    cause: FailureCause
    index: int
    iteration: int
    attempt: int


class Driver:
    """One cluster.

    Parameters
    ----------
    transport : how to reach it
    config : the build it must be

    Raises
    ------
    InputError
        If what answers is no cluster, of another register map, or of another build.
    """

    def __init__(self, transport: Transport, config: ClusterConfig) -> None:
        self.config = config
        self._transport = transport
        self._registers = register_map(config)
        self._field: QuantizedField | FloatField | None = None
        for name, what in (("id", "identification"), ("version", "register map"), ("config_hash", "configuration")):
            expected, found = self._registers.register(name).reset, self._read(name)
            if name == "version":  # minor versions only add registers
                expected, found = (self._registers.register(name).field("major").of(word) for word in (expected, found))
            if found != expected:
                raise InputError(f"{what} of the hardware must be {expected:#010x}, not {found:#010x}")

    def load(self, field: QuantizedField | FloatField) -> None:
        """Put a field into all processors; raises InputError if it does not fit. A reset of the hardware forgets it."""
        self._send(nfp_image(field, self.config.nfp))
        self._field = field

    def load_program(self, program: Program) -> None:
        """Put a program into the scheduler unit; raises InputError if there is none, or the program does not fit it."""
        self._check_scheduler()
        self._send(program_image(program, self.config.scheduler))

    def set_scheduled(self, scheduled: bool) -> None:
        """Whether runs of points wait for nano-operations; for a cluster that is not busy."""
        self._check_scheduler()
        self._write("program_control", scheduled=int(scheduled))

    def start_program(self) -> None:
        """Start the loaded program, with runs of points waiting for its nano-operations."""
        self._check_scheduler()
        self._write("program_control", scheduled=1, start=1)

    @property
    def program(self) -> ProgramStatus:
        """What the scheduler unit does now."""
        self._write("control", snapshot=1)
        register = self._registers.register("program_status")
        word = self._read("program_status")
        value = {field.name: field.of(word) for field in register.fields}
        return ProgramStatus(
            busy=bool(value["busy"]),
            refused=bool(value["refused"]),
            fault=value["fault"],
            fault_index=value["fault_index"],
            protocol_error=bool(value["protocol_error"]),
            run_index=value["run_index"] if value["run_active"] else None,
            clocks=self._read("program_clocks_high") << 32 | self._read("program_clocks"),
        )

    def abort_program(self, *, discard: bool = False) -> None:
        """End the program, with ``discard`` without waiting for what is in flight; the event ``aborted`` follows."""
        self._check_supervised()
        self._write("program_control", scheduled=1, abort=1, discard=int(discard))

    def unit(self, unit: int) -> UnitStatus:
        """What a unit of the scheduler stands at now."""
        self._check_unit(unit)
        self._write("unit_select", unit=unit)
        register, word = self._registers.register("unit_status"), self._read("unit_status")
        value = {field.name: field.of(word) for field in register.fields}
        state, cause = UnitState(value.pop("state")), FailureCause(value.pop("cause"))
        return UnitStatus(state=state, cause=cause, **value)

    @property
    def failed_units(self) -> list[int]:
        """Units in error status."""
        self._check_supervised()
        mask = self._registers.register("unit_progress").field("failed").of(self._read("unit_progress"))
        return [unit for unit in range(self.config.scheduler.n_units) if mask >> unit & 1]

    def issued(self, place: int) -> int:
        """Iterations in which the descriptor at that place of the order of choice has been issued; 0 while idle."""
        self._check_supervised()
        self._write("unit_select", place=place)
        return self._registers.register("unit_progress").field("issued").of(self._read("unit_progress"))

    def decide(self, unit: int, decision: Decision) -> None:
        """Say what becomes of the failed nano-operation of a unit; nothing happens if it is not in error status."""
        self._check_unit(unit)
        if decision is Decision.NONE:
            raise InputError("decision must be one of REISSUE, DONE, DROP, not NONE")
        self._write("unit_decision", unit=unit, **{decision.name.lower(): 1})

    def set_unit_limit(self, unit: int, clocks: int) -> None:
        """Clocks in which a nano-operation of that unit must complete; 0: for ever."""
        self._check_unit(unit)
        most = (1 << self.config.scheduler.watchdog_bits) - 1
        check_integer("clocks of a unit's watchdog", clocks, 0, most)
        self._write(f"unit{unit}_limit", clocks=clocks)

    def drop_failures(self, drop: bool) -> None:
        """Whether what fails is dropped at once."""
        self._check_supervised()
        self._write("unit_policy", drop_failed=int(drop))

    @property
    def dropped(self) -> int:
        """Nano-operations dropped since the program began."""
        self._check_supervised()
        return self._read("dropped")

    def _check_scheduler(self) -> None:
        if self.config.scheduler is None:
            raise InputError("the hardware must have a scheduler unit for a program, not none")

    def _check_supervised(self) -> None:
        if self.config.scheduler is None or not self.config.scheduler.supervised:
            raise InputError("the hardware must have a supervised scheduler unit for this, not one without")

    def _check_unit(self, unit: int) -> None:
        self._check_supervised()
        if not 0 <= unit < self.config.scheduler.n_units:
            raise InputError(f"unit must be from 0 to {self.config.scheduler.n_units - 1}, not {unit}")

    def run(self, coordinates_raw: np.ndarray, side: np.ndarray | None = None) -> DriverRun:
        """Send points, the last one marked so, and take every result.

        Parameters
        ----------
        coordinates_raw : (points, n_pos_dims of the field) raw coordinates, 0 .. 2**23; of ``fp16`` the bits of fp32
            numbers
        side : (points, side_inputs) raw direction codes; for nerf and for nothing else

        Raises
        ------
        InputError
            If no field is loaded or the points are not those of the field.
        """
        field = self._field
        if field is None:
            raise InputError("a field must be loaded before points are run, not none")
        coordinates_raw = np.asarray(coordinates_raw)
        dims, points = field.config.grid.n_pos_dims, len(coordinates_raw)
        if points == 0:
            raise InputError("number of points must be at least 1, not 0")
        if coordinates_raw.shape != (points, dims):
            raise InputError(f"shape of coordinates_raw must be (points, {dims}), not {coordinates_raw.shape}")
        encoding = self.config.nfp.encoding
        _check_integers("coordinates_raw", coordinates_raw)
        largest = (1 << encoding.coordinate_bits) - 1 if encoding.floating else 1 << COORDINATE.fraction_bits
        if coordinates_raw.min() < 0 or coordinates_raw.max() > largest:
            bound = "2^32 - 1" if encoding.floating else f"2^{COORDINATE.fraction_bits}"
            raise InputError(
                f"raw coordinates must be from 0 to {bound}, "
                f"not from {coordinates_raw.min()} to {coordinates_raw.max()}"
            )
        if (side is not None) != (field.config.app == "nerf"):
            found = "none" if side is None else "some"
            raise InputError(f"side must be given for nerf and for no other app, not {found} for {field.config.app}")
        position = np.zeros((points, encoding.n_pos_dims), dtype=np.int64)
        position[:, :dims] = coordinates_raw
        values = {"position": position} | ({} if side is None else {"side": self._checked_side(side, points)})
        last = np.arange(points) == points - 1
        words, ends, errors = self._transport.exchange(points_format(self.config.nfp).pack(values), last)
        if not np.array_equal(ends, last):
            raise OSError("the hardware ended the run elsewhere than at its last point")
        outputs = results_format(self.config.nfp).unpack(words)["values"][:, : n_results(field)]
        return DriverRun(outputs=outputs, errors=np.asarray(errors, dtype=bool))

    def _checked_side(self, side: np.ndarray, points: int) -> np.ndarray:
        side = np.asarray(side)
        mlp = self.config.nfp.mlp
        if side.shape != (points, mlp.side_inputs):
            raise InputError(f"shape of side must be ({points}, {mlp.side_inputs}), not {side.shape}")
        _check_integers("side", side)
        half = 1 << mlp.profile.value_bits - 1
        # of fp16 they are bits, with or without a sign
        most = 2 * half - 1 if self.config.nfp.encoding.floating else half - 1
        if side.min() < -half or side.max() > most:
            raise InputError(f"side must be from {-half} to {most}, not from {side.min()} to {side.max()}")
        return side

    def counters(self) -> dict[str, int]:
        """All counters at one clock, by name (``arch.nfp.NFP_COUNTERS``)."""
        self._write("control", snapshot=1)
        return {name: self._read(name) for name in NFP_COUNTERS}

    @property
    def busy(self) -> bool:
        """Whether points or load words are inside."""
        return bool(self._read("status"))

    @property
    def failed(self) -> list[int]:
        """Processors that failed, of the first 32."""
        mask = self._read("failed")
        return [number for number in range(min(32, self.config.n_nfps)) if mask >> number & 1]

    def set_watchdog(self, clocks: int) -> None:
        """Clocks without a result after which a processor with work counts as failed; 0: never."""
        check_integer("clocks of the watchdog", clocks, 0, (1 << 32) - 1)
        self._write("watchdog", clocks=clocks)

    def enable_interrupts(self, *events: str) -> None:
        """Let these events of ``irq_status``, and no others, raise the interrupt line."""
        self._write("irq_enable", **dict.fromkeys(events, 1))

    def take_interrupts(self) -> list[str]:
        """Events that happened since they were last taken; clears them."""
        register = self._registers.register("irq_status")
        word = self._read("irq_status")
        self._transport.write(register.address, word)
        return [field.name for field in register.fields if field.of(word)]

    def _send(self, image: LoadImage) -> None:
        words = {"data": image.data, "address": image.address, "target": image.target}
        self._transport.send_load(load_format().pack(words))

    def _read(self, name: str) -> int:
        return self._transport.read(self._registers.register(name).address)

    def _write(self, name: str, **fields: int) -> None:
        """Write a register: the named fields, 0 in all others."""
        register, word = self._registers.register(name), 0
        for field_name, value in fields.items():
            field = register.field(field_name)
            if not 0 <= value < 1 << field.width:
                raise InputError(f"{name}.{field_name} must be from 0 to {(1 << field.width) - 1}, not {value}")
            word |= value << field.low
        self._transport.write(register.address, word)


def _check_integers(name: str, values: np.ndarray) -> None:
    if values.dtype.kind not in "iu":
        raise InputError(f"{name} must be integers, not {values.dtype}")
