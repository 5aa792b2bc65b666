"""The picture of a program is well-formed SVG with every nano-operation and every wait in it."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from arch.program import NanoOperation, Predecessor, Program
from arch.workload import load_program, preset_names
from report.program_graph import program_graph


def texts(svg: bytes) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


def arrows(svg: bytes) -> tuple[int, int]:
    """Lines that are solid and lines that are dashed, of the width arrows have."""
    styles = [node.get("style", "") for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}path")]
    lines = [style for style in styles if "fill: none" in style and "stroke-width: 0.8" in style]
    dashed = [style for style in lines if "stroke-dasharray" in style]
    return len(lines) - len(dashed), len(dashed)


@pytest.mark.parametrize("name", preset_names("program"))
def test_every_nano_operation_and_unit_is_named(name: str) -> None:
    program = load_program(name)
    shown = texts(program_graph(program))
    assert {nano.name for nano in program.nano_operations} <= set(shown)
    assert set(program.units) <= set(shown)


def test_waits_are_arrows_and_other_iterations_are_labels() -> None:
    waits = (
        Predecessor(operation="A"),
        Predecessor(operation="B", event="start", scope="all"),
        Predecessor(operation="C", layer_offset=-1),
    )
    nanos = (
        NanoOperation(name="a0", operation="A", unit="x", chunks=0b01),
        NanoOperation(name="a1", operation="A", unit="x", chunks=0b10),
        NanoOperation(name="b0", operation="B", unit="x", chunks=0b01),
        NanoOperation(name="b1", operation="B", unit="x", chunks=0b10),
        NanoOperation(name="c", operation="C", unit="y", chunks=0b01, predecessors=waits, duration_us=12.5),
    )
    program = Program(name="small", units=("x", "y", "idle"), chunk_rows=1, n_chunks=2, nano_operations=nanos)
    picture = program_graph(program)
    assert arrows(picture) == (1, 2)
    assert "C -1" in texts(picture)
    assert "0-0; 12.5 us" in texts(picture)
    nothing = program_graph(replace(program, nano_operations=nanos[:1]))
    assert arrows(nothing) == (0, 0)


def test_equal_programs_give_equal_bytes() -> None:
    program = load_program("nerf_frame_ngpc8")
    assert program_graph(program) == program_graph(program)


def test_names_are_no_formulas() -> None:
    nano = NanoOperation(name="cost$x_1$", operation="A", unit="u", chunks=1)
    program = Program(name="price$", units=("u",), chunk_rows=1, n_chunks=1, nano_operations=(nano,))
    assert "cost$x_1$" in texts(program_graph(program))
