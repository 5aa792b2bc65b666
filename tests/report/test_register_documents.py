"""Register documents: the C header compiles and says what the map says, and every run writes the same bytes."""

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from arch.errors import InputError
from arch.nfp import ClusterConfig
from arch.presets import NFPS
from arch.register_map import config_hash, register_map
from report.register_documents import write_register_documents

CONFIG = ClusterConfig(nfp=NFPS["nfp-16x16"], n_nfps=4)


def test_the_header_has_every_register_at_its_address(tmp_path: Path) -> None:
    header, _, _ = write_register_documents(CONFIG, tmp_path)
    registers = register_map(CONFIG).registers
    checks = "\n".join(
        f'_Static_assert(offsetof(ngpc_t, {register.name}) == {register.address}, "{register.name}");'
        for register in registers
    )
    reset = f'_Static_assert(NGPC__CONFIG_HASH__VALUE_reset == {config_hash(CONFIG)}u, "hash");'
    source = tmp_path / "check.c"
    source.write_text(f'#include <stddef.h>\n#include "{header.name}"\n{checks}\n{reset}\n')
    command = ["gcc", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_ip_xact_has_every_register_at_its_address(tmp_path: Path) -> None:
    _, ipxact, html = write_register_documents(CONFIG, tmp_path)
    names = {"ipxact": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}
    found = {
        entry.find("ipxact:name", names).text: int(entry.find("ipxact:addressOffset", names).text.lstrip("'h"), 16)
        for entry in ElementTree.parse(ipxact).iter(f"{{{names['ipxact']}}}register")
    }
    assert found == {register.name: register.address for register in register_map(CONFIG).registers}
    assert re.search(r"<title>.*Open NGPC", html.read_text(), re.DOTALL)


def test_every_run_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, now in (("a", 1.0), ("b", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        write_register_documents(CONFIG, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 5
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        write_register_documents(CONFIG, tmp_path / "file")
