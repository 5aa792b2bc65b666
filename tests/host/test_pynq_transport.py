"""The driver over stand-ins for PYNQ's MMIO and DMA engines."""

import numpy as np
import pytest

from arch.axis_format import load_format, points_format, results_format
from arch.encoding_engine import EncodingEngineConfig
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.nfp_image import nfp_image
from arch.random_field import random_field
from arch.register_map import register_map
from host.driver import Driver
from host.pynq_transport import PynqTransport

CONFIG = ClusterConfig(
    nfp=NfpConfig(
        encoding=EncodingEngineConfig(n_levels=2, table_rows=512),
        mlp=MlpEngineConfig(rows=4, cols=4, nano_batch=24, max_width=8),
    ),
    n_nfps=2,
)
FIELD = random_field(
    FieldConfig(
        app="gia",
        grid=GridConfig(n_pos_dims=2, n_levels=2, log2_hashmap_size=9, base_resolution=9, per_level_scale=1.5),
        network=MlpConfig(n_input_dims=4, n_neurons=8, n_output_dims=3),
    )
)
FAILED = register_map(CONFIG).register("failed").address


class Board:
    """Registers and three DMA engines; a result is its point's first coordinate and two constants."""

    def __init__(self) -> None:
        self.words = {register.address: register.reset for register in register_map(CONFIG).registers}
        self.loaded: list[bytes] = []
        self.order: list[str] = []
        self.short = 0
        self.waiting: np.ndarray | None = None
        self.load, self.points, self.results = Channel(self, "load"), Channel(self, "points"), Channel(self, "results")

    def read(self, address: int) -> int:
        return self.words[address]

    def write(self, address: int, word: int) -> None:
        self.words[address] = word


class Channel:
    """One channel of a DMA engine."""

    def __init__(self, board: Board, name: str) -> None:
        self.board, self.name, self.transferred = board, name, 0
        self.idle = True

    def transfer(self, buffer: np.ndarray) -> None:
        board = self.board
        board.order.append(self.name)
        if self.name == "load":
            board.loaded.append(buffer.tobytes())
        elif self.name == "results":
            board.waiting = buffer
        else:
            position = points_format(CONFIG.nfp).unpack(np.asarray(buffer))["position"]
            values = np.column_stack([position[:, 0] & 127, *np.broadcast_to([[-1], [2], [3]], (3, len(buffer)))])
            board.waiting[:] = results_format(CONFIG.nfp).pack({"values": values})
            board.results.transferred = board.waiting.nbytes - board.short

    def wait(self) -> None:
        self.board.order.append(f"{self.name} done")


def _driver(board: Board) -> Driver:
    transport = PynqTransport(
        board,
        load=board.load,
        points=board.points,
        results=board.results,
        result_bytes=results_format(CONFIG.nfp).data_bytes,
        allocate=np.zeros,
        failed_address=FAILED,
        timeout_s=0.05,
    )
    return Driver(transport, CONFIG)


def test_a_field_and_points_go_through_the_engines() -> None:
    board = Board()
    driver = _driver(board)
    driver.load(FIELD)
    image = nfp_image(FIELD, CONFIG.nfp)
    words = {"data": image.data, "address": image.address, "target": image.target}
    assert board.loaded == [load_format().pack(words).tobytes()]
    run = driver.run(np.array([[0, 1], [5, 1 << 23], [77, 9]]))
    assert run.outputs.tolist() == [[0, -1, 2], [5, -1, 2], [77, -1, 2]] and not run.errors.any()
    # the receiver is ready before the first point goes
    assert board.order[2:] == ["results", "points", "points done", "results done"]
    driver.set_watchdog(99)
    assert board.words[register_map(CONFIG).register("watchdog").address] == 99


def test_what_an_engine_cannot_carry_is_an_error() -> None:
    board = Board()
    driver = _driver(board)
    driver.load(FIELD)
    board.short = 4
    with pytest.raises(OSError, match=r"^the run ended after 8 bytes of results, not 12$"):
        driver.run(np.zeros((3, 2), int))
    board.short = 0
    board.words[FAILED] = 2
    with pytest.raises(OSError, match=r"^processors failed \(mask 0x2\) and their results cannot be told"):
        driver.run(np.zeros((3, 2), int))


@pytest.mark.parametrize(("name", "what"), [("load", "load words"), ("points", "points"), ("results", "results")])
def test_a_transfer_that_does_not_end_is_an_error(name: str, what: str) -> None:
    """As that of results, when the hardware was reset after the field was loaded."""
    board = Board()
    driver = _driver(board)
    if name != "load":
        driver.load(FIELD)
    getattr(board, name).idle = False
    with pytest.raises(OSError, match=rf"^the transfer of {what} did not end within 0\.05 s; reset the DMA engine$"):
        driver.load(FIELD) if name == "load" else driver.run(np.zeros((3, 2), int))
