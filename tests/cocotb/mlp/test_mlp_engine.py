"""The MLP engine's generated Verilog under Verilator."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from rtl.mlp.mlp_engine import MlpEngine

BENCH = Path(__file__).with_name("mlp_engine_bench.py")


def network(n_in: int, n_neurons: int, n_hidden: int, n_out: int, output_activation: str = "None") -> MlpConfig:
    return MlpConfig(
        n_input_dims=n_in,
        n_neurons=n_neurons,
        n_hidden_layers=n_hidden,
        n_output_dims=n_out,
        output_activation=output_activation,
    )


# One build each: both arithmetics, nano-batches above the shortest pass. Widths do not divide the array; the last
# network of each is a single layer. Other shapes and shorter nano-batches: tests/rtl/mlp.
CASES = {
    "8x4": (
        MlpEngineConfig(rows=8, cols=4, max_width=16, nano_batch=30, max_layers=4, weight_tiles=32, arithmetic="int16"),
        [network(11, 13, 2, 3), network(16, 16, 3, 16), network(5, 4, 0, 9)],
    ),
    "16x16": (
        MlpEngineConfig(rows=16, cols=16, max_width=64, nano_batch=48, max_layers=4, weight_tiles=40),
        [network(27, 61, 2, 4), network(32, 64, 1, 16), network(30, 9, 0, 50)],
    ),
}


@pytest.mark.cocotb
@pytest.mark.parametrize("case", ["8x4", pytest.param("16x16", marks=pytest.mark.long)])
def test_mlp_engine(case: str, cocotb_run) -> None:
    config, networks = CASES[case]
    environment = {
        "NGPC_CONFIG": json.dumps(asdict(config)),
        "NGPC_NETWORKS": json.dumps([asdict(each) for each in networks]),
    }
    cocotb_run(MlpEngine(config), f"mlp_engine_{case}", BENCH, environment=environment)
