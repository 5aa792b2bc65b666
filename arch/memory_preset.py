"""Memory presets of ``workloads/memories``."""

from functools import cache
from typing import Any

from arch.memory import ControllerConfig, DramConfig, DramTiming, L2Config, MemorySystemConfig
from arch.workload import figures

__all__ = ["load_memory"]


@cache
def load_memory(name: str) -> MemorySystemConfig:
    """The memory preset ``name``, with the controller's default windows and mapping.

    Raises
    ------
    InputError
        If there is no such preset.
    """
    groups: dict[str, dict[str, Any]] = {"dram": {}, "dram.timing": {}, "l2": {}}
    for key, figure in figures("memory", name).items():
        group, _, last = key.rpartition(".")
        groups[group][last] = figure.value
    return MemorySystemConfig(
        name=name,
        dram=DramConfig(timing=DramTiming(**groups["dram.timing"]), **groups["dram"]),
        controller=ControllerConfig(),
        l2=L2Config(**groups["l2"]),
    )
