"""What lies beside a release's Verilog: one version everywhere, and FuseSoC targets with what their tools ask for."""

import json
import re
from pathlib import Path

import pytest

from arch.load import LoadTarget
from arch.register_map import interface_version, register_map
from arch.release import RELEASES
from report.register_documents import write_register_documents
from report.release_texts import release_texts

RESOURCES = {"netlist": {"flip_flops": 1}, "device": None}


@pytest.mark.parametrize("name", RELEASES)
def test_the_version_is_the_registers(name: str, tmp_path: Path) -> None:
    release = RELEASES[name]
    texts, version = release_texts(release, RESOURCES), interface_version(release.cluster)
    word = register_map(release.cluster).register("version").reset
    assert version == f"{word >> 16}.{word >> 8 & 255}.{word & 255}"
    assert json.loads(texts["config.json"])["version"] == version
    assert f"name: open-ngpc:ngpc:{release.top}:{version}\n" in texts[f"{release.top}.core"]
    write_register_documents(release.cluster, tmp_path)
    assert f"<ipxact:version>{version}</ipxact:version>" in (tmp_path / "ngpc.xml").read_text()


@pytest.mark.parametrize(
    ("name", "architecture"), [("ecp5-tiny", "ecp5"), ("kv260", "xilinx"), ("u250", "xilinx"), ("asic-ngpc", None)]
)
def test_yosys_is_told_the_architecture(name: str, architecture: str | None) -> None:
    """Edalize's Yosys needs it; an ASIC has none, and so no target."""
    texts = release_texts(RELEASES[name], RESOURCES)
    targets = re.split(
        r"^  (\w+):", texts[f"{RELEASES[name].top}.core"].partition("\ntargets:\n")[2], flags=re.MULTILINE
    )
    named = dict(zip(targets[1::2], targets[2::2], strict=True))
    assert set(named) == {"default", "lint", "sim"} | ({"synth"} if architecture else set())
    assert ("`synth`" in texts["README.md"]) == (architecture is not None)
    if architecture:
        assert f"arch: {architecture}" in named["synth"]


def test_the_page_names_every_target_of_load_words() -> None:
    page = release_texts(RELEASES["kv260"], RESOURCES)["README.md"]
    assert all(f"| {target.value} | {target.name.lower().replace('_', ' ')} |" in page for target in LoadTarget)
