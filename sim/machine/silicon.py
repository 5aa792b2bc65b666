"""Area and power of a cluster from its configuration and a technology table: modelled, not synthesised."""

from dataclasses import dataclass

from arch.field import FieldConfig
from arch.nfp import NfpConfig
from arch.workload import load_calibration

__all__ = ["Silicon", "nfp_silicon"]

_BYTE = 8


@dataclass(frozen=True, kw_only=True)
class Silicon:
    """One processor.

    Parameters
    ----------
    sram_mm2 : feature tables, weights and activation buffers
    logic_mm2 : multipliers, adders and registers of array and interpolators; control and wires are left out
    nj_per_point : table reads and multiply-adds of one point; leakage and clock are left out
    """

    sram_mm2: float
    logic_mm2: float
    nj_per_point: float

    @property
    def mm2(self) -> float:
        """All of it."""
        return self.sram_mm2 + self.logic_mm2


def nfp_silicon(
    nfp: NfpConfig, field: FieldConfig, table_bytes: int | None = None, technology: str = "technology_7nm"
) -> Silicon:
    """Area of ``nfp`` with ``table_bytes`` a level engine, and energy of a point of ``field`` on it.

    Bits: a table per engine; two sets of weight tiles; two activation buffers of a nano-batch. Operators: a multiplier,
    a 32-bit adder and registers for weight, input and sum in every element; per engine 2^D - 1 interpolations of F
    features, each a multiplier and an adder.
    """
    table = load_calibration(technology)
    encoding, mlp = nfp.encoding, nfp.mlp
    value = encoding.profile.value_bits
    if table_bytes is None:
        table_bytes = encoding.table_rows * encoding.n_features_per_level * value // 8
    weights = 2 * mlp.weight_tiles * mlp.rows * mlp.cols * _BYTE
    activations = 2 * mlp.nano_batch * mlp.max_width * value
    sram_bits = encoding.level_parallel * table_bytes * 8 + weights + activations
    elements = mlp.rows * mlp.cols
    lerps = encoding.level_parallel * (encoding.n_corners - 1) * encoding.n_features_per_level
    multiply_add = table["logic_45nm.multiplier_8b_um2"] + table["logic_45nm.adder_32b_um2"]
    registers = elements * (_BYTE + value + 32) + lerps * 32
    logic = (elements + lerps) * multiply_add + registers * table["logic_45nm.register_um2_per_bit"]
    grid = field.grid
    read_bits = grid.n_levels * 2**grid.n_pos_dims * grid.n_features_per_level * value
    macs = sum(network.macs for network in field.networks) + grid.n_levels * lerps / encoding.level_parallel
    mac_pj = table["logic_45nm.multiplier_8b_pj"] + table["logic_45nm.adder_32b_pj"]
    picojoules = (read_bits * table["sram.pj_per_bit_45nm"] + macs * mac_pj) * table["scale_45_to_7.energy"]
    return Silicon(
        sram_mm2=sram_bits * table["sram.um2_per_bit"] / table["sram.array_efficiency"] * 1e-6,
        logic_mm2=logic * table["scale_45_to_7.area"] * 1e-6,
        nj_per_point=picojoules * 1e-3,
    )
