"""The processor in fp16, generated Verilog under Verilator: whole fields with a GPU's bits, in the model's clocks."""

import numpy as np
import pytest

from arch.encoding_engine import EncodingEngineConfig
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.mlp_engine import MlpEngineConfig
from arch.nfp import NfpConfig
from arch.nfp_image import nfp_image
from arch.random_field import random_float_field
from cli.comparison import numpy_call
from reference.field import field_fp16
from reference.spherical_harmonics import harmonics_fp16
from sim.cosim.engine import nfp_simulator
from sim.engine.nfp import nfp_cycles

PROCESSOR = NfpConfig(
    encoding=EncodingEngineConfig(n_features_per_level=1, n_levels=2, table_rows=4096, arithmetic="fp16"),
    mlp=MlpEngineConfig(
        rows=32, cols=4, nano_batch=64, max_width=64, weight_tiles=64, arithmetic="fp16", fission=True,
        side_first=48, side_inputs=16,
    ),
)  # fmt: skip
GRID = {"n_features_per_level": 1, "n_levels": 2, "log2_hashmap_size": 10, "base_resolution": 6}
FIELDS = {
    "nerf": FieldConfig(
        app="nerf",
        grid=GridConfig(n_pos_dims=3, **GRID),
        network=MlpConfig(n_input_dims=2, n_neurons=16, n_hidden_layers=1, n_output_dims=16),
        rgb_network=MlpConfig(n_input_dims=32, n_neurons=16, n_hidden_layers=1, n_output_dims=3),
    ),
    "gia": FieldConfig(
        app="gia",
        grid=GridConfig(n_pos_dims=2, interpolation="Smoothstep", **GRID),
        network=MlpConfig(n_input_dims=2, n_neurons=16, n_hidden_layers=1, n_output_dims=3, activation="LeakyReLU"),
    ),
}


@pytest.mark.cosim
@pytest.mark.long
def test_fields_give_a_gpus_bits_in_the_models_clocks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    simulator = None
    for app, shape in FIELDS.items():
        field = random_float_field(shape, seed=seed)
        if simulator is None:
            simulator = nfp_simulator(field, PROCESSOR)
        else:
            simulator.load(nfp_image(field, PROCESSOR))
        positions = rng.uniform(-0.1, 1.1, (300, shape.grid.n_pos_dims)).astype(np.float32)
        simulator._n_outputs = shape.networks[-1].n_output_dims + len(shape.networks) - 1
        if app == "nerf":
            directions = rng.random((300, 3)).astype(np.float32)
            golden = numpy_call(field_fp16, field, positions, directions)
            run = simulator.run(positions.view(np.uint32), side=numpy_call(harmonics_fp16, directions).view(np.int16))
        else:
            golden = numpy_call(field_fp16, field, positions)
            run = simulator.run(positions.view(np.uint32))
        assert np.array_equal(run.outputs, golden.view(np.int16)), app
        assert len(np.unique(run.outputs)) > 300
        model = nfp_cycles(shape, PROCESSOR, positions.view(np.uint32), primed=PROCESSOR.prime_cycles)
        assert (run.given + model.accepted[0]).tolist() == model.results.tolist()
    simulator.__exit__()
