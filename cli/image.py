"""``ngpc image``: a field as the file that the C driver of a released build loads."""

from pathlib import Path
from typing import Annotated

import typer

from arch.field import APPS
from arch.presets import preset
from arch.register_map import config_hash
from arch.release import RELEASES
from cli.output import JsonOption, print_json, print_table

__all__ = ["image"]


def image(
    field: Annotated[
        str, typer.Argument(help=f"Quantised checkpoint (.npz), or {', '.join(APPS)}: the trained field of that name.")
    ],
    *,
    release: Annotated[str, typer.Option("--preset", help=f"Released build: {', '.join(RELEASES)}.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("build/field.ngpc"),
    json: JsonOption = False,
) -> None:
    """Write a field as load words with a header, for ngpc_field_of and ngpc_load of a release's driver."""
    from arch.checkpoint import load_field
    from arch.nfp_image import n_results
    from arch.trained import load_trained
    from host.image_file import write_field_file

    build = preset("release", RELEASES, release)
    loaded = load_trained(field) if field in APPS else load_field(Path(field))
    path = write_field_file(loaded, build.cluster, out)
    row = {
        "file": str(path),
        "preset": build.name,
        "config_hash": f"{config_hash(build.cluster):#010x}",
        "app": loaded.config.app,
        "bytes": path.stat().st_size,
        "pos_dims": loaded.config.grid.n_pos_dims,
        "outputs": n_results(loaded),
        "output_scale": loaded.networks[-1].output_scale,
    }
    if json:
        print_json(row)
    else:
        print_table("Field", tuple(name.replace("_", " ") for name in row), [tuple(row.values())])
