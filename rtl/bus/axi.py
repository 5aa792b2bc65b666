"""Signatures of the buses, with the AXI specification's signal names."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.register_map import ADDRESS_BITS, REGISTER_BYTES

__all__ = ["AxiLiteSignature", "AxisSignature", "Response"]


class Response:
    """RRESP and BRESP codes: ``OKAY``, and ``SLVERR`` for an access that nothing answers."""

    OKAY = 0
    SLVERR = 2


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite with 32-bit data, as its manager sees it. AxPROT is left out: all accesses are treated alike."""

    def __init__(self) -> None:
        bits = 8 * REGISTER_BYTES
        super().__init__(
            {
                "awaddr": Out(ADDRESS_BITS), "awvalid": Out(1), "awready": In(1),
                "wdata": Out(bits), "wstrb": Out(REGISTER_BYTES), "wvalid": Out(1), "wready": In(1),
                "bresp": In(2), "bvalid": In(1), "bready": Out(1),
                "araddr": Out(ADDRESS_BITS), "arvalid": Out(1), "arready": In(1),
                "rdata": In(bits), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
            }
        )  # fmt: skip


class AxisSignature(wiring.Signature):
    """AXI4-Stream of ``data_bytes`` bytes a word, as its source sees it; with ``user_bits`` bits of TUSER if any."""

    def __init__(self, data_bytes: int, user_bits: int = 0) -> None:
        self.data_bytes = data_bytes
        self.user_bits = user_bits
        user = {"tuser": Out(user_bits)} if user_bits else {}
        super().__init__(
            {
                "tdata": Out(8 * data_bytes), "tkeep": Out(data_bytes), "tlast": Out(1), **user,
                "tvalid": Out(1), "tready": In(1),
            }
        )  # fmt: skip
