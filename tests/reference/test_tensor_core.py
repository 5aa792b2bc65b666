"""The tensor-core rule and the activations against what an H200 computed, and against the rule in fractions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reference.activation import activate, activate_fp16
from reference.tensor_core import tensor_core_product

H200 = Path(__file__).parent / "h200"
DISTRIBUTIONS = (
    "normal", "subnormal_inputs", "zeros_times_large", "subnormals_times_large", "tiny_sums", "overflow",
    "cancellation", "nan_inf", "wide_exponents",
)  # fmt: skip


def same(found, expected):
    """Equal bits, any NaN equal to any."""
    return (found.view(torch.int16) == expected.view(torch.int16)) | (found.isnan() & expected.isnan())


@pytest.mark.golden
@pytest.mark.parametrize("chunk", [16, 8])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_chunk_equals_the_h200(distribution, chunk):
    """The accumulator comes in as a chunk of its own: one times C, which is exact."""
    with np.load(H200 / "mma.npz") as archive:
        a, b, c, d = (torch.from_numpy(archive[f"{distribution}_k{chunk}_{name}"]) for name in "ABCD")
    for tile in range(len(a)):
        for column in range(8):
            start = torch.zeros(16, chunk, dtype=torch.float16)
            start[:, 0] = c[tile, :, column]
            one = torch.zeros(1, chunk, dtype=torch.float16)
            one[0, 0] = 1.0
            inputs = torch.cat((start, a[tile]), dim=1)
            found = tensor_core_product(inputs, torch.cat((one, b[tile, column : column + 1]), dim=1), chunk=chunk)
            assert same(found[:, 0], d[tile, :, column]).all()


@pytest.mark.parametrize("chunk", [16, 8])
@pytest.mark.parametrize("scale", [0.3, 2.0**-9, 40.0])
def test_product_equals_the_rule(slow, seed, chunk, scale):
    """Several chunks, a last one that is not full, subnormal sums and overflow."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((12, 40)) * scale).astype(np.float16)
    w = (rng.standard_normal((24, 40)) * scale).astype(np.float16)
    x[rng.random(x.shape) < 0.3] = 0
    found = tensor_core_product(torch.from_numpy(x), torch.from_numpy(w), chunk=chunk).numpy().astype(np.float64)
    expected = [[slow.dot([float(v) for v in a], [float(v) for v in b], chunk) for b in w] for a in x]
    assert np.array_equal(found, expected)


@pytest.mark.golden
@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU"])
def test_exact_activations_equal_the_h200(name):
    """Bit for bit, NaN and infinity included."""
    with np.load(H200 / "activations.npz") as archive:
        inputs, outputs = (torch.from_numpy(archive[key]) for key in ("inputs", name))
    assert same(activate_fp16(name, inputs), outputs).all()


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "differing", "ulps"),
    [("SiLU", 2, 1), ("Exponential", 2, 1), ("Sigmoid", 5, 1), ("Softplus", 215, 1), ("Tanh", 70, 1)],
)
def test_approximate_activations_are_one_ulp_off(name, differing, ulps):
    """At most as many values as over all 65,536 inputs, each by at most one step."""
    with np.load(H200 / "activations.npz") as archive:
        inputs, outputs = (torch.from_numpy(archive[key]) for key in ("inputs", name))
    found = activate_fp16(name, inputs)
    unequal = ~same(found, outputs)
    steps = (found.view(torch.int16).int() - outputs.view(torch.int16).int()).abs()
    assert int(unequal.sum()) <= differing
    assert not unequal.any() or int(steps[unequal].max()) <= ulps


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "up_to", "bound"),
    [("Sine", 26, 1.23e-4), ("Sine", 1000, 4.9e-4), ("Sine", 65504, 8.31e-3), ("Squareplus", 1000, 4.9e-5)],
)
def test_sine_and_squareplus_within_their_bound(name, up_to, bound):
    """Absolute difference."""
    with np.load(H200 / "activations.npz") as archive:
        inputs, outputs = (torch.from_numpy(archive[key]) for key in ("inputs", name))
    inside = inputs.abs() <= up_to
    difference = (activate_fp16(name, inputs).double() - outputs.double()).abs()[inside]
    assert float(difference.max()) <= bound


@pytest.mark.parametrize(
    "name", ["SiLU", "Exponential", "Sine", "Sigmoid", "Squareplus", "Softplus", "Tanh", "LeakyReLU"]
)
def test_activations_are_the_textbook_functions(name):
    """float64 against numpy's."""
    x = np.linspace(-3, 3, 101)
    expected = {
        "SiLU": x / (1 + np.exp(-x)),
        "Exponential": np.exp(x),
        "Sine": np.sin(x),
        "Sigmoid": 1 / (1 + np.exp(-x)),
        "Squareplus": (x + np.sqrt(x * x + 0.04)) / 2,
        "Softplus": np.log1p(np.exp(10 * x)) / 10,
        "Tanh": np.tanh(x),
        "LeakyReLU": np.where(x > 0, x, 0.01 * x),
    }[name]
    assert np.abs(activate(name, torch.from_numpy(x)).numpy() - expected).max() < 1e-12
