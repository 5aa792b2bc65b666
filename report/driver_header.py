"""The sizes of a build for the C driver, ``host/c/ngpc_driver.h``."""

from pathlib import Path

from arch.axis_format import load_format, points_format, results_format
from arch.nfp import ClusterConfig
from arch.register_map import config_hash
from arch.whole_file import write_whole

__all__ = ["write_driver_headers"]

_DRIVER = Path(__file__).resolve().parent.parent / "host" / "c" / "ngpc_driver.h"


def write_driver_headers(config: ClusterConfig, folder: Path) -> list[Path]:
    """Write ``ngpc_driver.h`` and ``ngpc_build.h`` of a build; the register map's ``ngpc.h`` belongs to them."""
    points, results, mlp = points_format(config.nfp), results_format(config.nfp), config.nfp.mlp
    scheduler = config.scheduler
    side = next((field.first_byte for field in points.fields if field.name == "side"), 0)
    sizes = {
        "LOAD_BYTES": load_format().data_bytes,
        "POINT_BYTES": points.data_bytes,
        "RESULT_BYTES": results.data_bytes,
        "POS_DIMS": config.nfp.encoding.n_pos_dims,
        "SIDE_INPUTS": mlp.side_inputs,
        "SIDE_BYTE": side,
        "FLOATING": int(config.nfp.encoding.floating),
        "VALUE_BYTES": mlp.profile.value_bits // 8,
        "MAX_OUTPUTS": config.nfp.max_outputs,
        "N_NFPS": config.n_nfps,
        "SCHEDULER": int(scheduler is not None),
        "SUPERVISED": int(scheduler is not None and scheduler.supervised),
        "UNITS": 0 if scheduler is None else scheduler.n_units,
        "WATCHDOG_BITS": 0 if scheduler is None else scheduler.watchdog_bits,
    }
    lines = [
        f"/* Build {config_hash(config):#010x}: sizes of stream words in bytes, and what a point holds. Generated. */",
        "#ifndef NGPC_BUILD_H",
        "#define NGPC_BUILD_H",
        *(f"#define NGPC_BUILD_{name} {value}" for name, value in sizes.items()),
        "#endif",
    ]
    return [
        write_whole(folder / "ngpc_driver.h", _DRIVER.read_text(encoding="utf-8")),
        write_whole(folder / "ngpc_build.h", "\n".join(lines) + "\n"),
    ]
