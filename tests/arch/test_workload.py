"""The presets of ``workloads``: all of them load, every figure has a mark and a source, unknown names are refused."""

import pytest

from arch.errors import InputError
from arch.scheduler import SchedulerConfig
from arch.workload import (
    MARKS,
    Figure,
    figures,
    load_calibration,
    load_gpu,
    load_model,
    load_node,
    load_program,
    load_program_text,
    preset_names,
)

MARKED = [(kind, name) for kind in ("device", "model", "calibration") for name in preset_names(kind)]


@pytest.mark.parametrize(("kind", "name"), MARKED)
def test_every_figure_says_where_it_comes_from(kind, name):
    found = figures(kind, name)
    assert found
    for key, figure in found.items():
        assert figure.mark in MARKS, key
        assert len(figure.source) > 5, key


def test_presets_asked_for_are_there():
    assert {"rtx3090", "a100_80gb", "h200"} <= set(preset_names("device"))
    assert {"llama2_70b", "llama3_70b", "llama3_8b", "qwen2_72b", "deepseek_67b", "mixtral_8x7b"} <= set(
        preset_names("model")
    )


@pytest.mark.parametrize("name", preset_names("device"))
def test_devices_load(name):
    assert load_gpu(name).name == name


@pytest.mark.parametrize("name", preset_names("model"))
def test_models_load(name):
    assert load_model(name).name == name


@pytest.mark.parametrize("name", preset_names("program"))
def test_programs_load_and_fit_the_largest_default_scheduler(name):
    program = load_program(name)
    SchedulerConfig(n_units=5, n_chunks=32).check_fits(program)
    assert all(nano.duration_us != 1.0 for nano in program.nano_operations)


PIPELINES = {
    "llama2_70b_2048": (16, [5, 11], [2, 3, 6, 5]),
    "llama2_70b_1024": (8, [3, 5], [2, 1, 2, 3]),
    "llama2_70b_768": (6, [3, 3], [1, 2, 1, 2]),
    "llama3_8b_1024": (8, [3, 5], [3, 5]),
    "mixtral_8x7b_4096": (32, [16, 16], [8, 8, 8, 8]),
}
"""Chunks of 128 tokens in the dense batch, the nano-batches and the parts of KQV, of NanoFlow's configurations."""


@pytest.mark.parametrize("name", PIPELINES)
def test_published_pipelines_have_the_published_sizes(name):
    program = load_program(name)
    n_chunks, nano_batches, kqv = PIPELINES[name]
    sizes = {
        operation: [nano.chunks.bit_count() for nano in program.nano_operations if nano.operation == operation]
        for operation in ("KQV", "UpGate", "Down")
    }
    assert (program.chunk_rows, program.n_chunks) == (128, n_chunks)
    assert sizes == {"KQV": kqv, "UpGate": nano_batches, "Down": nano_batches}


@pytest.mark.parametrize("name", preset_names("program"))
def test_every_program_says_what_is_published_and_what_is_ours(name):
    sources = load_program_text(name).sources
    marks = {figure.mark for figure in sources.values()}
    assert {"sizes", "copies"} & sources.keys()
    assert marks >= {"READ", "ASSUMED"} or name == "llama2_70b_2048_search"
    assert marks <= set(MARKS)


def test_a_program_that_extends_another_begins_with_it():
    base, longer = load_program("llama2_70b_2048"), load_program("llama2_70b_2048_offload")
    assert longer.nano_operations[: len(base.nano_operations)] == base.nano_operations
    assert {nano.unit for nano in longer.nano_operations[len(base.nano_operations) :]} == {"copy"}


def test_a_calibration_gives_values_and_groups():
    calibration = load_calibration("a100_tensor_parallel")
    assert calibration["all_gather.latency_us"] == 16.5
    assert calibration.group("all_gather") == {"latency_us": 16.5, "us_per_mib": 6.38}
    assert calibration.get("no.such") is None and "no.such" not in calibration


@pytest.mark.parametrize(
    ("read", "start"),
    [
        (lambda: load_model("gpt"), "model preset must be one of deepseek_67b, llama2_70b, "),
        (lambda: load_program("none"), "program preset must be one of llama2_70b_1024, "),
        (lambda: load_node("3xgpu"), "device must be one of a100_40gb, a100_80gb, "),
        (lambda: load_node("0xa100_80gb"), "n_gpus of a node must be an integer from 1 to 64, not 0"),
        (
            lambda: preset_names("poem"),
            "workload preset must be one of device, memory, model, calibration, program, requests, not",
        ),
        (
            lambda: load_calibration("a100_single")["speed"],
            "figure of calibration a100_single must be one it has, not 'speed'",
        ),
        (
            lambda: Figure(value=1, mark="GUESSED", source="somewhere"),
            "mark of a figure must be one of READ, DERIVED, RECALLED, ASSUMED, not 'GUESSED'",
        ),
        (lambda: Figure(value=1, mark="READ", source=""), "source of a figure must be a sentence, not ''"),
    ],
)
def test_refusals(read, start):
    with pytest.raises(InputError) as refused:
        read()
    assert str(refused.value).startswith(start)
