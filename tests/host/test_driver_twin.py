"""The C driver makes the transactions of the Python driver, byte for byte, and gives the same answers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from arch.axis_format import points_format, results_format
from arch.checkpoint import FloatField, QuantizedField
from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.field import DIRECTION_DIMS, FieldConfig
from arch.grid import GridConfig
from arch.mlp import FUSED_OUTPUTS, MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NFP_COUNTERS, ClusterConfig, NfpConfig
from arch.random_field import random_field, random_float_field
from arch.register_map import register_map
from arch.scheduler import SchedulerConfig
from arch.supervision import Decision
from arch.workload import load_program
from host.driver import Driver
from host.image_file import FIELD_HEADER, write_field_file, write_program_words
from report.driver_header import write_driver_headers
from report.register_documents import write_register_documents

SOURCE = Path(__file__).with_name("driver_twin.c")
PROGRAM = load_program("nerf_frame_ngpc8")
REGISTERS = {"points": 7, "results": 2**32 - 1, "busy": 9, "encoding_limits": 1, "mlp_limits": 2, "source_waits": 3,
             "sink_waits": 4, "status": 1, "failed": 0b101, "irq_status": 0b1110, "program_clocks": 7,
             "program_clocks_high": 2, "unit_status": 3 | 2 << 2 | 1 << 4 | 6 << 8 | 9 << 16,
             "unit_progress": 4 | 0b1010 << 16, "dropped": 12,
             "program_status": 5 | 1 << 8 | 1 << 9 | 1 << 11 | 9 << 12 | 3 << 16}  # fmt: skip


def _config(arithmetic: str) -> ClusterConfig:
    """The int16 build supervises units, the others do not."""
    first = FUSED_OUTPUTS if arithmetic == "fp16" else 4
    return ClusterConfig(
        nfp=NfpConfig(
            encoding=EncodingEngineConfig(n_levels=2, table_rows=512, arithmetic=arithmetic),
            mlp=MlpEngineConfig(
                rows=first, cols=4, nano_batch=24, max_width=64, weight_tiles=64, arithmetic=arithmetic,
                side_first=2 * first, side_inputs=DIRECTION_DIMS,
            ),
        ),
        n_nfps=3,
        scheduler=SchedulerConfig(
            n_descriptors=16, supervised=arithmetic == "int16", watchdog_bits=16 if arithmetic == "int16" else 0
        ),
    )  # fmt: skip


def _field(arithmetic: str) -> QuantizedField | FloatField:
    first = FUSED_OUTPUTS if arithmetic == "fp16" else 4
    config = FieldConfig(
        app="nerf",
        grid=GridConfig(n_pos_dims=3, n_levels=2, log2_hashmap_size=7, base_resolution=4, per_level_scale=1.5),
        network=MlpConfig(n_input_dims=4, n_neurons=8, n_hidden_layers=1, n_output_dims=first),
        rgb_network=MlpConfig(n_input_dims=first + DIRECTION_DIMS, n_neurons=8, n_hidden_layers=1, n_output_dims=3),
    )
    return random_float_field(config) if arithmetic == "fp16" else random_field(config, arithmetic=arithmetic)


class LoggedHardware:
    """The stand-in of ``driver_twin.c``: prints transactions the same way."""

    def __init__(self, config: ClusterConfig, words: np.ndarray) -> None:
        self.config, self.words, self.log = config, words, []
        self.broken_end = False

    def read(self, address: int) -> int:
        self.log.append(f"read {_hex(address)}")
        return int(self.words[address // 4])

    def write(self, address: int, word: int) -> None:
        self.log.append(f"write {_hex(address)} {word}")

    def send_load(self, words: np.ndarray) -> None:
        self.log.append(f"load {words.tobytes().hex()}")

    def exchange(self, points: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.log.append(f"points {points.tobytes().hex()}")
        lanes = results_format(self.config.nfp).data_bytes
        words = (points[:, :1].astype(int) * 3 + np.arange(lanes) * 77).astype(np.uint8)
        return words, ~last if self.broken_end else last, np.arange(len(points)) == 1


def _hex(address: int) -> str:
    return f"{address:#05x}" if address else "00000"  # as C prints it


def _words(config: ClusterConfig) -> np.ndarray:
    words = np.zeros(256, dtype="<u4")
    for register in register_map(config).registers:
        words[register.address // 4] = REGISTERS.get(register.name, register.reset)
    return words


def _play(config: ClusterConfig, words: np.ndarray, points: np.ndarray, side: np.ndarray) -> list[str]:
    """What ``main`` of the C file does, with the Python driver."""
    hardware = LoggedHardware(config, words)
    log = hardware.log
    driver = Driver(hardware, config)
    _refused(log, -7, lambda: driver.run(points))
    field = _field(config.nfp.mlp.arithmetic)
    scales = (0.0, 0.0)  # of fp16, whose values are numbers
    if config.nfp.mlp.arithmetic != "fp16":
        scales = np.float32([field.networks[-1].output_scale, field.direction_scale])
    log.append("field 3 4 1 " + " ".join(f"{scale:.9g}" for scale in scales))
    driver.load(field)
    run = driver.run(points, side)
    log += [f"output {value}" for value in run.outputs.ravel()] + [f"error {int(error)}" for error in run.errors]
    log.append("counters " + " ".join(str(value) for value in driver.counters().values()))
    busy, failed = driver.busy, driver.failed
    log.append(f"busy {int(busy)} failed {sum(1 << number for number in failed)}")
    driver.set_watchdog(12345)
    driver.enable_interrupts("run_done", "nfp_failed")
    register = register_map(config).register("irq_status")
    events = sum(1 << register.field(event).low for event in driver.take_interrupts())
    log.append(f"interrupts {events}")
    driver.load_program(PROGRAM)
    driver.start_program()
    driver.set_scheduled(False)
    status = driver.program
    log.append(
        f"program {int(status.busy)} {int(status.refused)} {status.fault} {status.fault_index} "
        f"{int(status.protocol_error)} {status.run_index} {status.clocks}"
    )
    _supervise(driver, log)
    if config.nfp.mlp.arithmetic != "fp16":  # whose coordinates are the bits of any fp32 number
        _refused(log, -5, lambda: driver.run(points + 2**23, side))
    _refused(log, -5, lambda: driver.run(points))
    wrong_side = side[:1].copy()
    wrong_side[0, 1] = 300
    if config.nfp.mlp.arithmetic == "int8":
        _refused(log, -5, lambda: driver.run(points[:1], wrong_side))
    hardware.broken_end = True
    wrong_side[0, 1] = 1
    with pytest.raises(OSError):
        driver.run(points[:1], wrong_side)
    log.append("code -6")
    return log


def _refused(log: list[str], code: int, call: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        call()
    log.append(f"code {code}")


def _supervise(driver: Driver, log: list[str]) -> None:
    if not driver.config.scheduler.supervised:
        _refused(log, -9, lambda: driver.abort_program(discard=True))
        return
    driver.abort_program(discard=True)
    unit = driver.unit(2)
    log.append(f"unit {int(unit.state)} {int(unit.cause)} {unit.attempt} {unit.index} {unit.iteration}")
    failed = driver.failed_units
    log.append(f"failed units {sum(1 << number for number in failed)}")
    issued = driver.issued(7)
    log.append(f"issued {issued}")
    driver.decide(1, Decision.DROP)
    driver.decide(3, Decision.REISSUE)
    driver.set_unit_limit(3, 65535)
    _refused(log, -5, lambda: driver.set_unit_limit(3, 65536))
    _refused(log, -5, lambda: driver.decide(driver.config.scheduler.n_units, Decision.DONE))
    driver.drop_failures(True)
    dropped = driver.dropped
    log.append(f"dropped {dropped}")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory):
    """Compile the C file for an arithmetic with a compiler; returns the program."""

    def build(arithmetic: str, *compiler: str) -> Path:
        folder = tmp_path_factory.mktemp("twin")
        config = _config(arithmetic)
        write_register_documents(config, folder)
        write_driver_headers(config, folder)
        program = folder / "twin"
        flags = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-fsanitize=undefined", f"-I{folder}", "-o", str(program))
        subprocess.run([*compiler, *flags, str(SOURCE)], check=True)
        return program

    return build


@pytest.mark.parametrize(
    ("arithmetic", "compiler"),
    [
        ("int8", ("gcc", "-std=c11")),
        ("int16", ("g++", "-x", "c++", "-std=c++11")),
        ("fp16", ("gcc", "-std=c11")),
    ],
)
def test_both_drivers_make_the_same_transactions(built, arithmetic: str, compiler: tuple[str, ...], tmp_path: Path):
    config, rng = _config(arithmetic), np.random.default_rng(3)
    assert set(NFP_COUNTERS) <= set(REGISTERS) and points_format(config.nfp).data_bytes in (32, 64)
    bits = config.nfp.mlp.profile.value_bits
    points = rng.integers(0, 2**23, (5, 3), endpoint=True)
    points[0, 0] = 2**23
    side = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (5, DIRECTION_DIMS))
    words = _words(config)
    files = [tmp_path / name for name in ("registers", "field", "points", "side", "program")]
    files[0].write_bytes(words.tobytes())
    write_field_file(_field(arithmetic), config, files[1])
    files[2].write_bytes(points.astype("<u4").tobytes())
    files[3].write_bytes(side.astype("<i2").tobytes())
    write_program_words(PROGRAM, config, files[4])
    program = built(arithmetic, *compiler)

    def run() -> list[str]:
        done = subprocess.run([program, *map(str, files)], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert run() == _play(config, words, points, side)
    for name, change, code in (("id", 1, -2), ("version", 1 << 16, -3), ("config_hash", 1, -4)):
        other = words.copy()
        other[register_map(config).register(name).address // 4] ^= change
        files[0].write_bytes(other.tobytes())
        assert run()[-1] == f"code {code}"
        with pytest.raises(InputError):
            Driver(LoggedHardware(config, other), config)
    files[0].write_bytes(words.tobytes())
    whole = files[1].read_bytes()
    for file, code in (
        (b"", -10),
        (b"NGPD" + whole[4:], -10),
        (whole[:4] + b"\2" + whole[5:], -10),
        (whole[:8] + b"\0" + whole[9:], -4),  # another build's
        (whole[:-1], -10),
        (whole[: FIELD_HEADER.size], -10),
        (whole + bytes(16), -10),
    ):
        files[1].write_bytes(file)
        assert run()[-1] == f"code {code}"
