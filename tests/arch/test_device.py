"""Devices and nodes: what their figures add up to, and what is refused."""

from dataclasses import replace

import pytest

from arch.device import GpuConfig, MemoryConfig, NetworkConfig, NodeConfig
from arch.errors import InputError
from arch.workload import load_gpu, load_node

GPU = GpuConfig(
    name="gpu",
    fp16_flops_per_s=100e12,
    memory=MemoryConfig(capacity_bytes=80e9, bandwidth_bytes_per_s=2e12),
    network=NetworkConfig(bandwidth_bytes_per_s=300e9),
    n_sms=108,
)


def test_a_node_sums_its_gpus():
    node = NodeConfig(gpu=GPU, n_gpus=8)
    assert node.name == "8xgpu"
    assert node.fp16_flops_per_s == 800e12
    assert node.memory_bytes == 640e9
    assert node.memory_bytes_per_s == 16e12
    assert node.network_bytes_per_s == 2.4e12


def test_one_gpu_is_called_by_its_own_name_and_may_lack_a_network():
    node = NodeConfig(gpu=replace(GPU, network=None))
    assert (node.name, node.network_bytes_per_s) == ("gpu", 0.0)


def test_the_node_of_the_paper():
    """NanoFlow, section 3: 8 A100 with 300 GB/s one way each."""
    node = load_node("8xa100_80gb")
    assert (node.n_gpus, node.gpu) == (8, load_gpu("a100_80gb"))
    assert node.network_bytes_per_s == 2.4e12
    assert node.gpu.n_sms == 108


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: MemoryConfig(capacity_bytes=0, bandwidth_bytes_per_s=1.0),
            "capacity_bytes of the memory must be a number above 0, not 0",
        ),
        (
            lambda: MemoryConfig(capacity_bytes=1.0, bandwidth_bytes_per_s=float("nan")),
            "bandwidth_bytes_per_s of the memory must be a number above 0, not nan",
        ),
        (
            lambda: MemoryConfig(capacity_bytes=1.0, bandwidth_bytes_per_s=1.0, l2_bytes=-1),
            "l2_bytes must be a number above 0, not -1",
        ),
        (
            lambda: NetworkConfig(bandwidth_bytes_per_s="fast"),
            "bandwidth_bytes_per_s of the network must be a number above 0, not 'fast'",
        ),
        (lambda: replace(GPU, fp16_flops_per_s=-1.0), "fp16_flops_per_s of gpu must be a number above 0, not -1.0"),
        (lambda: replace(GPU, n_sms=0), "n_sms of gpu must be an integer from 1 to 1024, not 0"),
        (lambda: NodeConfig(gpu=GPU, n_gpus=65), "n_gpus of a node must be an integer from 1 to 64, not 65"),
        (
            lambda: NodeConfig(gpu=replace(GPU, network=None), n_gpus=2),
            "n_gpus must be 1 for gpu, which has no network, not 2",
        ),
    ],
)
def test_refusals(make, sentence):
    with pytest.raises(InputError) as refused:
        make()
    assert str(refused.value) == sentence
