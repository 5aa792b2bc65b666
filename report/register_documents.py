"""The register map for others: C header, IP-XACT and HTML pages, all from ``arch/ngpc.rdl``."""

from pathlib import Path

from peakrdl_cheader.exporter import CHeaderExporter
from peakrdl_html import HTMLExporter
from peakrdl_ipxact import IPXACTExporter

from arch.nfp import ClusterConfig
from arch.register_map import config_hash, elaborate_registers, interface_version
from arch.whole_file import make_directory

__all__ = ["write_register_documents"]


def write_register_documents(config: ClusterConfig, folder: Path) -> list[Path]:
    """Write ``ngpc.h``, ``ngpc.xml`` (IP-XACT) and ``html/index.html`` of a build; returns these three.

    The header holds addresses, offsets, masks and reset values; the reset values of capability registers are the
    build's.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    make_directory(folder)
    node = elaborate_registers(config)
    header, ipxact, html = folder / "ngpc.h", folder / "ngpc.xml", folder / "html"
    CHeaderExporter().export(node=node, path=str(header), reuse_typedefs=False)
    exporter = IPXACTExporter(vendor="open-ngpc", library="ngpc", version=interface_version(config))
    exporter.export(node, str(ipxact), component_name="ngpc")
    # a browser's cache is told by the build's own number, not by the time, so that every run writes the same bytes
    HTMLExporter(user_context={"build_ts": config_hash(config)}).export(node, str(html), title="Open NGPC registers")
    return [header, ipxact, html / "index.html"]
