"""Area and power of a processor from counted gates, memory bits and a technology table: modelled, nothing is placed."""

from collections.abc import Mapping
from dataclasses import dataclass

from arch.cell_table import GATES, load_cells
from arch.field import FieldConfig
from arch.nfp import NfpConfig
from arch.workload import load_calibration

__all__ = ["Silicon", "nfp_silicon"]

_BYTE = 8


@dataclass(frozen=True, kw_only=True)
class Silicon:
    """One processor on one field.

    Parameters
    ----------
    sram_mm2 : feature tables, weights and activation buffers
    logic_mm2 : gates and flip-flops of all level engines and of the MLP engine
    table_pj_per_point : reads of feature tables
    logic_pj_per_clk : logic at work; leakage is left out
    """

    sram_mm2: float
    logic_mm2: float
    table_pj_per_point: float
    logic_pj_per_clk: float

    @property
    def mm2(self) -> float:
        """All of it."""
        return self.sram_mm2 + self.logic_mm2

    def nj_per_point(self, clk_per_point: float) -> float:
        """Energy of a point that takes so many clocks."""
        return (self.table_pj_per_point + self.logic_pj_per_clk * clk_per_point) * 1e-3

    def watts(self, clk_per_point: float, clock_hz: float) -> float:
        """Power of one processor that is never idle: energy of a point times points a second."""
        return self.nj_per_point(clk_per_point) * 1e-9 * clock_hz / clk_per_point


def nfp_silicon(
    nfp: NfpConfig, field: FieldConfig, table_bytes: int | None = None, technology: str = "technology_7nm"
) -> Silicon:
    """Silicon of ``nfp`` at work on ``field``.

    Gates are those of ``workloads/silicon/ngpc_cells.toml``. Bits: a table of ``table_bytes`` (by default as
    configured) per level engine, in cells of as many ports as its banks have; two sets of weight tiles; two activation
    buffers of a nano-batch.
    """
    table, cells = load_calibration(technology), load_cells()
    encoding, mlp = nfp.encoding, nfp.mlp
    value = encoding.profile.value_bits
    if table_bytes is None:
        table_bytes = encoding.table_rows * encoding.n_features_per_level * value // _BYTE
    table_bits = encoding.level_parallel * table_bytes * _BYTE
    if encoding.bank_ports > 1:
        table_bits *= table["sram.dual_port_factor"]
    weights = 2 * mlp.weight_tiles * mlp.rows * mlp.cols * _BYTE
    activations = 2 * mlp.nano_batch * mlp.max_width * value
    bits = table_bits + weights + activations

    def um2(gates: Mapping[str, float]) -> float:
        return sum(gates[gate] * table[f"gate_45nm_um2.{gate}"] for gate in GATES)

    logic_45nm = encoding.level_parallel * um2(cells.level_engine(encoding.bank_ports))
    logic_45nm += um2(cells.mlp_engine(mlp.rows, mlp.cols, mlp.fission))
    grid = field.grid
    read_bits = grid.n_levels * 2**grid.n_pos_dims * grid.n_features_per_level * value
    scale = table["scale_45_to_7.energy"]
    return Silicon(
        sram_mm2=bits * table["sram.um2_per_bit"] / table["sram.array_efficiency"] * 1e-6,
        logic_mm2=logic_45nm * table["scale_45_to_7.area"] / table["logic.utilisation"] * 1e-6,
        table_pj_per_point=read_bits * table["sram.pj_per_bit_45nm"] * scale,
        logic_pj_per_clk=logic_45nm * table["logic.pj_per_um2_45nm"] * scale,
    )
