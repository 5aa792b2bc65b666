"""Presets of ``workloads``: devices, models, calibrations and programs, read from TOML with the source of each figure.

Every figure stands in its file as ``key = { value = ..., mark = "READ", source = "..." }``. The mark says how much it
is worth: READ in the named source, DERIVED by arithmetic from such figures, RECALLED without a look at the source,
ASSUMED by this project.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from arch.device import GpuConfig, MemoryConfig, NetworkConfig, NodeConfig, SystolicConfig
from arch.errors import InputError, check_one_of
from arch.figure import MARKS, Figure
from arch.language_model import LanguageModelConfig
from arch.presets import preset
from arch.program import Program
from arch.program_text import ProgramText, parse_program, whole_tables
from arch.requests import RequestLengths

__all__ = [
    "MARKS", "Calibration", "Figure", "figures", "load_calibration", "load_gpu", "load_model", "load_node",
    "load_program", "load_program_text", "load_requests", "preset_names", "program_tables",
]  # fmt: skip

_FOLDERS = {
    "device": "devices",
    "memory": "memories",
    "model": "models",
    "calibration": "calibration",
    "program": "programs",
    "requests": "requests",
}
_NODE = re.compile(r"(\d+)x(\w+)")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A named set of figures, e.g. ``calibration["all_gather.latency_us"]``."""

    name: str
    title: str
    figures: Mapping[str, Figure]

    def __getitem__(self, key: str) -> Any:
        if key not in self.figures:
            raise InputError(f"figure of calibration {self.name} must be one it has, not {key!r}")
        return self.figures[key].value

    def __contains__(self, key: str) -> bool:
        return key in self.figures

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a figure, or ``default`` if the calibration has none."""
        figure = self.figures.get(key)
        return default if figure is None else figure.value

    def group(self, prefix: str) -> dict[str, Any]:
        """Values whose key is ``prefix.`` and one more name, by that name."""
        start = prefix + "."
        return {key[len(start) :]: figure.value for key, figure in self.figures.items() if key.startswith(start)}


@cache
def preset_names(kind: str) -> tuple[str, ...]:
    """Names of the presets of a kind (``device``, ``model``, ``calibration`` ...), in alphabetical order."""
    folder = resources.files("workloads") / preset("workload", _FOLDERS, kind)
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def _read(kind: str, name: str) -> dict[str, Any]:
    return tomllib.loads(_text(kind, name))


def _text(kind: str, name: str) -> str:
    check_one_of(f"{kind} preset", name, preset_names(kind))
    return (resources.files("workloads") / _FOLDERS[kind] / f"{name}.toml").read_text("utf-8")


def figures(kind: str, name: str) -> dict[str, Figure]:
    """Every figure of a preset with its mark and source, tables joined by dots: ``memory.capacity_bytes``."""
    return dict(_figures(_read(kind, name)))


def _figures(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Figure]]:
    found = []
    for key, entry in table.items():
        if isinstance(entry, Mapping):
            if "mark" in entry:
                found.append((prefix + key, Figure(**entry)))
            else:
                found += _figures(entry, f"{prefix}{key}.")
    return found


def load_gpu(name: str) -> GpuConfig:
    """The GPU preset ``name``."""
    value = {key: figure.value for key, figure in figures("device", name).items()}
    bandwidth = value.get("network.bandwidth_bytes_per_s")
    arrays = {key.removeprefix("systolic."): value[key] for key in value if key.startswith("systolic.")}
    return GpuConfig(
        name=name,
        fp16_flops_per_s=value["fp16_flops_per_s"],
        n_sms=value.get("n_sms"),
        memory=MemoryConfig(**{key.removeprefix("memory."): value[key] for key in value if key.startswith("memory.")}),
        network=None if bandwidth is None else NetworkConfig(bandwidth_bytes_per_s=bandwidth),
        systolic=SystolicConfig(**arrays) if arrays else None,
        kernels=value.get("kernels", "a100"),
    )


def load_node(name: str) -> NodeConfig:
    """A node by name: a GPU preset alone (``h200``) or several of it (``8xa100_80gb``)."""
    match = _NODE.fullmatch(name)
    n_gpus, gpu = (int(match[1]), match[2]) if match else (1, name)
    if gpu not in preset_names("device"):
        raise InputError(
            f"device must be one of {', '.join(preset_names('device'))}, or several of one like 8xa100_80gb, "
            f"not {name!r}"
        )
    return NodeConfig(gpu=load_gpu(gpu), n_gpus=n_gpus)


def load_model(name: str) -> LanguageModelConfig:
    """The language model preset ``name``."""
    return LanguageModelConfig(name=name, **{key: figure.value for key, figure in figures("model", name).items()})


def load_requests(name: str) -> RequestLengths:
    """The lengths preset ``name``: a published trace, or constant lengths such as ``512-1024``."""
    return RequestLengths(name=name, **{key: figure.value for key, figure in figures("requests", name).items()})


def load_calibration(name: str) -> Calibration:
    """The calibration table ``name``."""
    return Calibration(name=name, title=_read("calibration", name)["title"], figures=figures("calibration", name))


def load_program(name: str) -> Program:
    """The program preset ``name``."""
    return load_program_text(name).program


@cache
def load_program_text(name: str) -> ProgramText:
    """The program preset ``name`` with the sources its file names; :mod:`arch.program_text` defines the file."""
    return parse_program(_text("program", name), name=name, read_base=program_tables)


def program_tables(name: str) -> dict[str, Any]:
    """The tables of a program preset, with those of the one it extends itself, for a file that extends it."""
    return whole_tables(f"program {name}", _read("program", name), program_tables)
