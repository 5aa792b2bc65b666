"""Released builds on their devices: table banks infer the block RAMs they must, ECP5 builds reach their clock."""

import json

import pytest

from arch.release import RELEASES
from cli.main import main
from fpga.release import memory_blocks

FPGAS = [name for name, release in RELEASES.items() if release.device is not None]


@pytest.mark.long
@pytest.mark.parametrize("name", FPGAS)
def test_block_rams(name: str) -> None:
    """Tables of 16-bit rows, each bank one true dual-port RAM: 1,024 rows a block of an ECP5 or a half of one of
    UltraScale+. Nothing is replicated, and the whole fits.
    """
    release = RELEASES[name]
    encoding, n_nfps = release.cluster.nfp.encoding, release.cluster.n_nfps
    blocks = memory_blocks(release)
    assert blocks["level_engine_fetch_table"] == encoding.n_banks * encoding.bank_rows // 1024
    shared = {
        module: n_nfps * (encoding.level_parallel if module.startswith("level_engine") else 1)
        for module in blocks
        if module.startswith(("level_engine", "nfp"))
    }
    total = sum(count * shared.get(module, 1) for module, count in blocks.items())
    halves = 1 if release.family == "ecp5" else 2
    assert total <= halves * release.device.block_rams


@pytest.mark.long
@pytest.mark.parametrize("name", ["ecp5-tiny", "ecp5-85f"])
def test_an_ecp5_build_reaches_its_clock(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["fpga", "--preset", name, "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert end.value.code == 0 and shown["slack_ns"] >= 0 and shown["fits"], shown
