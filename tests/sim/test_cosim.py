"""The block simulator: payload packing, stalls, clocks and the hang guard, on a one-register stream stage."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given
from hypothesis import strategies as st

from arch.errors import InputError
from rtl.streams import LoadLayout, PointLayout, VectorLayout, connect_stream
from sim.cosim.build import build_model
from sim.cosim.payload import pack_payloads, unpack_payloads
from sim.cosim.simulator import RtlSimulator

pytestmark = pytest.mark.cosim


class Register(wiring.Component):
    """Passes points on, one clock later, reinterpreting each 24-bit coordinate as signed."""

    def __init__(self) -> None:
        super().__init__(
            {
                "points": In(stream.Signature(PointLayout(3))),
                "vectors": Out(stream.Signature(VectorLayout(3, 24))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.points.ready.eq(~self.vectors.valid | self.vectors.ready)
        with m.If(self.points.ready):
            m.d.sync += [self.vectors.valid.eq(self.points.valid), self.vectors.payload.eq(self.points.payload)]
        return m


def _points(seed: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"position": rng.integers(0, 1 << 24, (count, 3)), "last": rng.integers(0, 2, count)}


@given(bits=st.integers(2, 40), width=st.integers(1, 9), data=st.data())
def test_payloads_survive_packing(bits: int, width: int, data: st.DataObject) -> None:
    layout = VectorLayout(width, bits)
    element = st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    values = np.array(data.draw(st.lists(st.lists(element, min_size=width, max_size=width), min_size=1, max_size=5)))
    last = np.arange(len(values)) & 1
    words = pack_payloads(layout, {"values": values, "last": last})
    assert words.shape == (len(values), -(-(bits * width + 1) // 32))
    back = unpack_payloads(layout, words)
    assert np.array_equal(back["values"], values) and np.array_equal(back["last"], last)


def test_packing_matches_the_layout_itself() -> None:
    layout = LoadLayout()
    fields = {"target": np.array([5]), "address": np.array([0xDEADBEEF]), "data": np.array([-2])}
    words = pack_payloads(layout, fields)
    expected = layout.const({"target": 5, "address": 0xDEADBEEF, "data": (1 << 64) - 2}).as_value().value
    assert sum(int(word) << (32 * index) for index, word in enumerate(words[0])) == expected


@pytest.mark.parametrize("idle", [0.0, 0.4])
@pytest.mark.parametrize("backpressure", [0.0, 0.4])
def test_every_payload_arrives_once_and_in_order(idle: float, backpressure: float, seed: int) -> None:
    fields = _points(seed, 1000)
    words = pack_payloads(PointLayout(3), fields)
    with RtlSimulator(Register(), "stage", seed=seed) as simulator:
        block = simulator.run(
            {"points": words}, {"vectors": 1000}, max_cycles=10_000, idle=idle, backpressure=backpressure
        )
    vectors = unpack_payloads(VectorLayout(3, 24), block.outputs["vectors"])
    assert np.array_equal(vectors["values"] & 0xFFFFFF, fields["position"])
    assert np.array_equal(vectors["last"], fields["last"])
    assert (np.diff(block.sent["points"].astype(int)) >= 1).all()
    assert (block.taken["vectors"] > block.sent["points"]).all()
    if idle == backpressure == 0.0:
        assert block.cycles == 1001
        assert np.array_equal(block.taken["vectors"], block.sent["points"] + 1)
    else:
        assert block.cycles > 1300


def test_waves_show_every_stream(tmp_path: Path) -> None:
    waves = tmp_path / "waves.vcd"
    words = pack_payloads(PointLayout(3), _points(1, 3))
    with RtlSimulator(Register(), "stage", waves=waves) as simulator:
        simulator.run({"points": words}, {"vectors": 3}, max_cycles=50)
    text = waves.read_text()
    assert all(f" {name} " in text for name in ("points__valid", "vectors__payload", "vectors__ready"))


def test_waves_that_cannot_be_written_are_refused_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        RtlSimulator(Register(), "stage", waves=tmp_path)
    assert str(refused.value) == f"waves must be a file to write, not the directory {str(tmp_path)!r}"
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(InputError) as refused:
        RtlSimulator(Register(), "stage", waves=in_the_way / "below" / "waves.vcd")
    below = str(in_the_way / "below")
    assert str(refused.value) == f"the output directory must be writable, not {below!r} (Not a directory)"


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    for module, name in (("rtl.verilog", "verilog"), ("sim.cosim.build", "cosim")):
        with monkeypatch.context() as patched, pytest.raises(InputError) as refused:
            patched.setattr(f"{module}.BUILD_ROOT", in_the_way)
            build_model(Register(), "stage")
        place = str(in_the_way / name)
        assert str(refused.value) == f"the output directory must be writable, not {place!r} (Not a directory)"


def test_a_hang_is_an_error_with_both_counts() -> None:
    words = pack_payloads(PointLayout(3), _points(1, 3))
    with RtlSimulator(Register(), "stage") as simulator, pytest.raises(InputError) as caught:
        simulator.run({"points": words}, {"vectors": 4}, max_cycles=50)
    assert str(caught.value) == "stream vectors must transfer 4 payloads within 50 clocks, not 3"


def test_streams_of_equal_width_and_other_layout_do_not_connect() -> None:
    wide = stream.Signature(VectorLayout(2, 12)).create()
    other = stream.Signature(VectorLayout(1, 24)).flip().create()
    with pytest.raises(TypeError, match="Payload shape of the sink must be StructLayout"):
        connect_stream(Module(), wide, other)
