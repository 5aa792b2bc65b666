"""The registers on their AXI4-Lite bus, generated Verilog under Verilator, with cocotbext-axi's manager."""

import json
from pathlib import Path

import pytest

from arch.nfp import ClusterConfig
from arch.presets import NFPS
from arch.register_map import FieldKind, register_map
from rtl.bus.axi_lite_registers import AxiLiteRegisters


@pytest.mark.cocotb
def test_axi_lite_registers(cocotb_run) -> None:
    registers = register_map(ClusterConfig(nfp=NFPS["nfp-16x16"], n_nfps=4))
    entries = [
        {
            "name": register.name,
            "address": register.address,
            "reset": register.reset,
            "writable": register.writable,
            "storage": sum(
                (1 << field.width) - 1 << field.low for field in register.fields if field.kind is FieldKind.STORAGE
            ),
        }
        for register in registers.registers
    ]
    bench = Path(__file__).with_name("axi_lite_registers_bench.py")
    cocotb_run(AxiLiteRegisters(registers), "registers", bench, environment={"NGPC_REGISTERS": json.dumps(entries)})
