"""The builds that are released as Verilog: a cluster, the device it is made for, and the field its smoke test runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from arch.encoding_engine import EncodingEngineConfig
from arch.errors import check_instance
from arch.field import DIRECTION_DIMS, FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import ClusterConfig, NfpConfig
from arch.presets import NFPS, SCHEDULERS
from arch.scheduler import SchedulerConfig

__all__ = ["RELEASES", "DeviceCapacity", "ReleaseConfig"]


@dataclass(frozen=True, kw_only=True)
class DeviceCapacity:
    """What a device holds, by its maker's data sheet.

    Parameters
    ----------
    name : part
    luts : look-up tables (ECP5: of four inputs; UltraScale+: of six)
    flip_flops : registers
    block_rams : RAM blocks (ECP5: 18 kbit; UltraScale+: 36 kbit)
    multipliers : DSP blocks (ECP5: 18 x 18; UltraScale+: 27 x 18)
    source : where the figures are from
    """

    name: str
    luts: int
    flip_flops: int
    block_rams: int
    multipliers: int
    source: str


_ECP5 = "Lattice FPGA-DS-02012, table 1.1"
_ULTRASCALE = "AMD DS890 and the board's data sheet"


@dataclass(frozen=True, kw_only=True)
class ReleaseConfig:
    """A released build.

    Parameters
    ----------
    name : of the preset; its modules start with ``ngpc_`` and this name in words of one underscore
    cluster : what is built
    device : what it is made for; None for an ASIC
    """

    name: str
    cluster: ClusterConfig
    device: DeviceCapacity | None

    def __post_init__(self) -> None:
        check_instance("cluster", self.cluster, ClusterConfig)

    @property
    def top(self) -> str:
        """Name of the top module."""
        return f"ngpc_{self.name.replace('-', '_')}"

    @property
    def family(self) -> str:
        """``ecp5``, ``ultrascale+`` or ``asic``."""
        if self.device is None:
            return "asic"
        return "ecp5" if self.device.name.startswith("LFE5") else "ultrascale+"

    @property
    def smoke_field(self) -> FieldConfig:
        """A small radiance field with levels on every level engine, dense and hashed ones, and both networks.

        Its layers are as wide as the array, so that every processing element counts, and its tables small, so that
        a slow simulator loads them quickly.
        """
        encoding, mlp = self.cluster.nfp.encoding, self.cluster.nfp.mlp
        levels = max(2, encoding.level_parallel)
        width = min(mlp.max_width, max(16, mlp.rows, mlp.cols))
        features = levels * encoding.n_features_per_level
        return FieldConfig(
            app="nerf",
            grid=GridConfig(
                n_pos_dims=3,
                n_levels=levels,
                n_features_per_level=encoding.n_features_per_level,
                log2_hashmap_size=7,
                base_resolution=4,
                per_level_scale=1.4,
            ),
            network=MlpConfig(n_input_dims=features, n_neurons=width, n_hidden_layers=1, n_output_dims=16),
            rgb_network=MlpConfig(
                n_input_dims=16 + DIRECTION_DIMS, n_neurons=width, n_hidden_layers=1, n_output_dims=3
            ),
        )


def _nfp(array: int, nano_batch: int, weight_tiles: int, level_parallel: int, table_rows: int) -> NfpConfig:
    return NfpConfig(
        encoding=EncodingEngineConfig(level_parallel=level_parallel, table_rows=table_rows),
        mlp=MlpEngineConfig(
            rows=array, cols=array, nano_batch=nano_batch, weight_tiles=weight_tiles,
            side_first=32, side_inputs=DIRECTION_DIMS,
        ),
    )  # fmt: skip


_SMALL_SCHEDULER = SchedulerConfig(n_descriptors=8, n_operations=4, n_units=2, n_chunks=8, check_load=True)
_ECP5_SCHEDULER = replace(_SMALL_SCHEDULER, n_operations=8)
"""As many operations as descriptors. A unit of 32 descriptors is too slow among the rest of the device
(docs/release.md)."""
_SCHEDULER = replace(SCHEDULERS["scheduler-32"], check_load=True)

_BUILDS = (
    ReleaseConfig(
        name="ecp5-tiny",
        cluster=ClusterConfig(nfp=_nfp(4, 64, 640, 1, 1 << 15), n_nfps=1, scheduler=_SMALL_SCHEDULER),
        device=DeviceCapacity(
            name="LFE5U-45F", luts=43848, flip_flops=43848, block_rams=108, multipliers=72, source=_ECP5
        ),
    ),
    ReleaseConfig(
        name="ecp5-85f",
        cluster=ClusterConfig(nfp=_nfp(8, 128, 160, 2, 1 << 15), n_nfps=1, scheduler=_ECP5_SCHEDULER),
        device=DeviceCapacity(
            name="LFE5U-85F", luts=83640, flip_flops=83640, block_rams=208, multipliers=156, source=_ECP5
        ),
    ),
    ReleaseConfig(
        name="kv260",
        cluster=ClusterConfig(nfp=_nfp(16, 128, 64, 4, 1 << 15), n_nfps=1, scheduler=_SCHEDULER),
        device=DeviceCapacity(
            name="XCK26", luts=117120, flip_flops=234240, block_rams=144, multipliers=1248, source=_ULTRASCALE
        ),
    ),
    ReleaseConfig(
        name="zcu104",
        cluster=ClusterConfig(nfp=_nfp(16, 128, 64, 4, 1 << 15), n_nfps=2, scheduler=_SCHEDULER),
        device=DeviceCapacity(
            name="XCZU7EV", luts=230400, flip_flops=460800, block_rams=312, multipliers=1728, source=_ULTRASCALE
        ),
    ),
    ReleaseConfig(
        name="u250",
        cluster=ClusterConfig(nfp=_nfp(32, 256, 32, 8, 1 << 16), n_nfps=4, scheduler=_SCHEDULER),
        device=DeviceCapacity(
            name="XCU250", luts=1728000, flip_flops=3456000, block_rams=2688, multipliers=12288, source=_ULTRASCALE
        ),
    ),
    ReleaseConfig(
        name="asic-ngpc",
        cluster=ClusterConfig(
            nfp=replace(NFPS["ngpc"], mlp=replace(NFPS["ngpc"].mlp, fission=True)),
            n_nfps=4,
            scheduler=_SCHEDULER,
        ),
        device=None,
    ),
)

RELEASES: Mapping[str, ReleaseConfig] = {build.name: build for build in _BUILDS}
"""Builds by the names that ``ngpc verilog --preset`` takes; ``asic-ngpc`` has NGPC's sizes, four processors of it."""
