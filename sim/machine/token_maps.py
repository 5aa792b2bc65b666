"""The two maps by which NanoFlow (OSDI 2025, Figures 2 and 3) argues that serving is bound by its GEMMs."""

from arch.workload import load_model, load_node, load_requests
from sim.machine.token_cost import memory_compute_ratio, network_compute_ratio

__all__ = ["MEMORY_MAP", "NETWORK_MAP_DEVICES", "NETWORK_MAP_MODELS", "REQUESTS", "memory_map", "network_map"]

MEMORY_MAP = (
    ("llama3_8b", "a100_80gb"), ("mixtral_8x7b", "8xa100_80gb"), ("llama2_70b", "8xa100_80gb"),
    ("llama3_70b", "8xa100_80gb"), ("qwen2_72b", "8xa100_80gb"), ("deepseek_67b", "8xa100_80gb"),
)  # fmt: skip
"""Rows of the memory map, those of NanoFlow's Figure 3 and Deepseek-67B."""

REQUESTS = ("lmsys", "splitwise", "sharegpt", "512-512", "1024-512", "512-1024")
"""Its columns."""

NETWORK_MAP_MODELS = (
    "llama3_8b", "mixtral_8x7b", "llama2_70b", "llama3_70b", "qwen2_72b", "deepseek_67b", "llama3_405b",
)  # fmt: skip
"""Rows of the network map, those of NanoFlow's Figure 2 and Deepseek-67B; eight GPUs each."""

NETWORK_MAP_DEVICES = (
    "v100", "a100_40gb", "a100_80gb", "h100", "h200", "b100", "b200", "mi250", "mi300", "mi325x", "gaudi2", "gaudi3",
    "ada6000",
)  # fmt: skip
"""Its columns."""


def memory_map() -> list[dict[str, object]]:
    """T_mem / T_compute (equation 5) of every row of ``MEMORY_MAP`` under every one of ``REQUESTS``."""
    rows = []
    for model, device in MEMORY_MAP:
        decoder, node = load_model(model), load_node(device)
        lengths = {name: load_requests(name) for name in REQUESTS}
        ratios = {
            name: memory_compute_ratio(decoder, node, each.prompt_mean, each.decode_mean)
            for name, each in lengths.items()
        }
        rows.append({"model": model, "device": device, **ratios})
    return rows


def network_map() -> list[dict[str, object]]:
    """T_net / T_compute (equation 4) of every model on eight of every accelerator of the paper's Table 1."""
    return [
        {
            "model": model,
            **{
                device: network_compute_ratio(load_model(model), load_node(f"8x{device}"))
                for device in NETWORK_MAP_DEVICES
            },
        }
        for model in NETWORK_MAP_MODELS
    ]
