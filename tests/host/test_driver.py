"""The driver over a stand-in for the hardware: identification, packing, counters, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from arch.axis_format import load_format, points_format, results_format
from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NFP_COUNTERS, ClusterConfig, NfpConfig
from arch.nfp_image import nfp_image
from arch.program_image import program_image
from arch.random_field import random_field
from arch.register_map import register_map
from arch.scheduler import SchedulerConfig
from arch.workload import load_program
from host.driver import Driver, ProgramStatus

CONFIG = ClusterConfig(
    nfp=NfpConfig(
        encoding=EncodingEngineConfig(n_levels=2, table_rows=512),
        mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=24, max_width=8),
    ),
    n_nfps=3,
)
FIELD = random_field(
    FieldConfig(
        app="gia",
        grid=GridConfig(n_pos_dims=2, n_levels=2, log2_hashmap_size=9, base_resolution=9, per_level_scale=1.5),
        network=MlpConfig(n_input_dims=4, n_neurons=8, n_output_dims=3),
    )
)
POINTS = np.array([[0, 1], [5, 1 << 23], [77, 9]])


class FakeHardware:
    """A dictionary of registers; a result is its point's first coordinate (low byte) and three constants."""

    def __init__(self, config: ClusterConfig = CONFIG) -> None:
        self.config = config
        self.words = {register.address: register.reset for register in register_map(config).registers}
        self.written: list[tuple[int, int]] = []
        self.loaded = np.zeros((0, 16), np.uint8)
        self.errors = [False] * len(POINTS)
        self.ends_early = False

    def read(self, address: int) -> int:
        return self.words[address]

    def write(self, address: int, word: int) -> None:
        self.written.append((address, word))

    def send_load(self, words: np.ndarray) -> None:
        self.loaded = words

    def exchange(self, points: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        position = points_format(self.config.nfp).unpack(points)["position"]
        values = np.column_stack([position[:, 0] & 127, *np.broadcast_to([[-1], [2], [3]], (3, len(points)))])
        words = results_format(self.config.nfp).pack({"values": values})
        return words, ~last if self.ends_early else last, np.array(self.errors)


def _address(name: str) -> int:
    return register_map(CONFIG).register(name).address


def test_a_field_and_points_go_through() -> None:
    hardware = FakeHardware()
    driver = Driver(hardware, CONFIG)
    driver.load(FIELD)
    image, words = nfp_image(FIELD, CONFIG.nfp), load_format().unpack(hardware.loaded)
    assert all(np.array_equal(words[name], getattr(image, name)) for name in ("target", "address", "data"))
    hardware.errors[1] = True
    run = driver.run(POINTS)
    assert run.outputs.tolist() == [[0, -1, 2], [5, -1, 2], [77, -1, 2]]
    assert run.errors.tolist() == [False, True, False]


def test_registers_are_read_and_written_by_name() -> None:
    hardware = FakeHardware()
    driver = Driver(hardware, CONFIG)
    for number, name in enumerate(NFP_COUNTERS):
        hardware.words[_address(name)] = 100 + number
    assert driver.counters() == {name: 100 + number for number, name in enumerate(NFP_COUNTERS)}
    hardware.words[_address("failed")] = 0b101
    hardware.words[_address("irq_status")] = 0b110
    assert driver.failed == [0, 2]
    assert driver.take_interrupts() == ["keep_error", "nfp_failed"]
    assert not driver.busy
    hardware.words[_address("status")] = 1
    assert driver.busy
    driver.set_watchdog(12345)
    driver.enable_interrupts("run_done", "nfp_failed")
    assert hardware.written == [
        (_address("control"), 1),
        (_address("irq_status"), 0b110),
        (_address("watchdog"), 12345),
        (_address("irq_enable"), 0b101),
    ]


def test_a_program_is_loaded_started_and_followed() -> None:
    config = replace(CONFIG, scheduler=SchedulerConfig(n_descriptors=16))
    hardware, program = FakeHardware(config), load_program("nerf_frame_ngpc8")
    driver = Driver(hardware, config)
    driver.load_program(program)
    image, words = program_image(program, config.scheduler), load_format().unpack(hardware.loaded)
    assert all(np.array_equal(words[name], getattr(image, name)) for name in ("target", "address", "data"))
    driver.start_program()
    driver.set_scheduled(False)
    assert hardware.written == [(_address("program_control"), 0b11), (_address("program_control"), 0)]
    hardware.words |= {
        _address("program_status"): 5 | 1 << 8 | 1 << 9 | 1 << 11 | 9 << 12 | 3 << 16,
        _address("program_clocks"): 7,
        _address("program_clocks_high"): 2,
    }
    assert driver.program == ProgramStatus(
        busy=True, refused=True, fault=9, fault_index=3, protocol_error=False, run_index=5, clocks=(2 << 32) + 7
    )
    hardware.words[_address("program_status")] = 5 | 1 << 10
    assert driver.program.run_index is None and driver.program.protocol_error and not driver.program.busy


def test_a_program_without_a_scheduler_unit_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the hardware must have a scheduler unit for a program, not none$"):
        Driver(FakeHardware(), CONFIG).load_program(load_program("nerf_frame_ngpc8"))


def test_other_hardware_is_refused() -> None:
    other = ClusterConfig(nfp=CONFIG.nfp, n_nfps=4)
    with pytest.raises(InputError, match=r"^configuration of the hardware must be 0x[0-9a-f]{8}, not 0x[0-9a-f]{8}$"):
        Driver(FakeHardware(other), CONFIG)
    hardware = FakeHardware()
    hardware.words[_address("id")] = 0
    with pytest.raises(InputError, match=r"^identification of the hardware must be 0x4e475043, not 0x00000000$"):
        Driver(hardware, CONFIG)
    hardware = FakeHardware()
    hardware.words[_address("version")] += 1 << 16
    with pytest.raises(InputError, match=r"^register map of the hardware must be 0x00000000, not 0x00000001$"):
        Driver(hardware, CONFIG)
    hardware.words[_address("version")] = 0x0000FFFF  # newer, and still the same major version
    assert Driver(hardware, CONFIG).failed == []


@pytest.mark.parametrize(
    ("points", "side", "sentence"),
    [
        (POINTS[:0], None, "number of points must be at least 1, not 0"),
        (np.zeros((4, 3), int), None, "shape of coordinates_raw must be (points, 2), not (4, 3)"),
        (POINTS - 1, None, "raw coordinates must be from 0 to 2^23, not from -1 to 8388607"),
        (POINTS + 0.5, None, "coordinates_raw must be integers, not float64"),
        (POINTS, np.zeros((3, 16)), "side must be given for nerf and for no other app, not some for gia"),
    ],
)
def test_wrong_points_are_refused(points: np.ndarray, side: np.ndarray | None, sentence: str) -> None:
    driver = Driver(FakeHardware(), CONFIG)
    driver.load(FIELD)
    with pytest.raises(InputError) as caught:
        driver.run(points, side)
    assert str(caught.value) == sentence


def test_wrong_use_is_refused() -> None:
    hardware = FakeHardware()
    driver = Driver(hardware, CONFIG)
    with pytest.raises(InputError, match=r"^a field must be loaded before points are run, not none$"):
        driver.run(POINTS)
    with pytest.raises(InputError, match=r"^clocks of the watchdog must be an integer from 0 to 4294967295, not -1$"):
        driver.set_watchdog(-1)
    with pytest.raises(InputError, match=r"^clocks of the watchdog must be an integer from 0 to .*, not 1.5$"):
        driver.set_watchdog(1.5)
    with pytest.raises(InputError, match=r"^field of register irq_enable must be one of run_done, .*, not 'tea'$"):
        driver.enable_interrupts("tea")
    driver.load(FIELD)
    hardware.ends_early = True
    with pytest.raises(OSError, match="ended the run elsewhere"):
        driver.run(POINTS)
