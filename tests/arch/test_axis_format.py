"""AXI4-Stream words: places in TDATA, round trips, refusals."""

import numpy as np
import pytest

from arch.axis_format import load_format, points_format, results_format
from arch.encoding_engine import EncodingEngineConfig
from arch.errors import InputError
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NfpConfig


def _config(arithmetic: str, side_inputs: int) -> NfpConfig:
    return NfpConfig(
        encoding=EncodingEngineConfig(n_levels=4, table_rows=64, arithmetic=arithmetic),
        mlp=MlpEngineConfig(
            rows=8, cols=8, max_width=32, arithmetic=arithmetic, side_first=8, side_inputs=side_inputs
        ),
    )  # fmt: skip


def test_places_are_those_of_c_types() -> None:
    points = points_format(_config("int8", 16))
    word = points.pack({"position": np.array([[0x123456, 0x800000, 7]]), "side": np.arange(-8, 8)[None]})
    assert points.data_bytes == 32
    expected = np.zeros(32, np.uint8)
    expected[:12] = np.array([0x123456, 0x800000, 7], "<u4").view(np.uint8)
    expected[12:28] = np.arange(-8, 8, dtype=np.int8).view(np.uint8)
    assert word.tolist() == [expected.tolist()]
    load = load_format()
    word = load.pack({"data": np.array([(1 << 64) - 2], np.uint64), "address": np.array([9]), "target": np.array([5])})
    assert word.tolist() == [[254, *[255] * 7, 9, 0, 0, 0, 5, 0, 0, 0]]


@pytest.mark.parametrize(("arithmetic", "side", "sizes"), [("int8", 0, (16, 4)), ("int16", 12, (64, 8))])
def test_words_come_back(arithmetic: str, side: int, sizes: tuple[int, int], seed: int) -> None:
    config, rng = _config(arithmetic, side), np.random.default_rng(seed)
    half = 1 << (config.mlp.profile.value_bits - 1)
    points, results = points_format(config), results_format(config)
    assert (points.data_bytes, results.data_bytes) == sizes
    values = {"position": rng.integers(0, (1 << 23) + 1, (50, 3))}
    if side:
        values["side"] = rng.integers(-half, half, (50, side))
    for words, fields in ((points, values), (results, {"values": rng.integers(-half, half, (50, 4))})):
        back = words.unpack(words.pack(fields))
        assert back.keys() == fields.keys()
        assert all(np.array_equal(back[name], fields[name]) for name in fields)


def test_load_words_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = {
        "data": rng.integers(0, 1 << 64, 50, dtype=np.uint64),
        "address": rng.integers(0, 1 << 32, 50),
        "target": rng.integers(0, 16, 50),
    }
    back = load_format().unpack(load_format().pack(fields))
    assert all(np.array_equal(back[name], fields[name]) for name in fields)


def test_wrong_shapes_are_refused() -> None:
    words = results_format(_config("int8", 0))
    with pytest.raises(InputError, match=r"^shape of values must be \(2, 4\), not \(2, 3\)$"):
        words.pack({"values": np.zeros((2, 3), int)})
    with pytest.raises(InputError, match=r"^shape of words must be \(n, 4\), not \(2, 8\)$"):
        words.unpack(np.zeros((2, 8), np.uint8))
    with pytest.raises(InputError, match=r"^number of words must be the same in all fields, not \[1, 2\]$"):
        load_format().pack({"data": np.zeros(1), "address": np.zeros(2)})
