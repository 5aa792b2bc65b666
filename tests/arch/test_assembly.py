"""Programs as files of load words: what is assembled is disassembled, and no other file is."""

import random
import re
from dataclasses import replace

import pytest

from arch.assembly import LOAD_TABLE_BITS, assemble, disassemble
from arch.descriptor import index_bits, load_data_bits, pack_program
from arch.errors import InputError
from arch.program import Program
from arch.scheduler import SchedulerConfig
from arch.workload import load_program, preset_names
from rtl.scheduler.signature import load_layout
from sim.engine.scheduler_programs import random_program

CONFIGS = (
    SchedulerConfig(),
    SchedulerConfig(n_descriptors=8, n_operations=3, n_units=2, n_pools=2, n_chunks=5, share_bits=4),
    SchedulerConfig(n_descriptors=64, n_operations=33, n_units=5, n_pools=4, n_chunks=64, share_bits=8),
)
WIDTH = LOAD_TABLE_BITS + index_bits(32) + load_data_bits(SchedulerConfig())


def without_zero_shares(program: Program) -> Program:
    """A share of nothing is no share: the words do not tell them apart."""
    return replace(
        program,
        nano_operations=tuple(
            replace(nano, shares={pool: share for pool, share in nano.shares.items() if share})
            for nano in program.nano_operations
        ),
    )


def words_of(text: str) -> list[int]:
    return [int(line.partition("//")[0], 16) for line in text.splitlines() if not line.startswith("//")]


@pytest.mark.parametrize("config", CONFIGS, ids=["default", "small", "large"])
def test_what_is_assembled_is_disassembled(config: SchedulerConfig, seed: int) -> None:
    for number in range(30):
        program = random_program(random.Random(f"{seed} {number}"), config)
        text = assemble(program, config)
        assert disassemble(text) == (without_zero_shares(program), config), f"program {number} of seed {seed}"


@pytest.mark.parametrize("config", CONFIGS, ids=["default", "small", "large"])
def test_words_alone_are_assembled_again(config: SchedulerConfig, seed: int) -> None:
    for number in range(30):
        text = assemble(random_program(random.Random(f"{seed} {number}"), config), config)
        bare = "\n".join(line.partition("  //")[0] for line in text.splitlines() if "// program" not in line)
        program, found = disassemble(bare)
        assert words_of(assemble(program, found)) == words_of(text), f"program {number} of seed {seed}"
        assert program.nano_operations[0].name == "nano0"


@pytest.mark.parametrize("name", preset_names("program"))
def test_presets_are_assembled_for_the_unit_they_need(name: str) -> None:
    program = load_program(name)
    text = assemble(program)
    config = SchedulerConfig.for_program(program)
    assert disassemble(text) == (program, config)
    layout = load_layout(config)
    for word, (table, address, data) in zip(words_of(text), pack_program(program, config).load_words(), strict=True):
        assert (
            word
            == int(table) << layout["table"].offset
            | address << layout["address"].offset
            | data << layout["data"].offset
        )


def test_every_line_says_what_it_is() -> None:
    lines = assemble(load_program("nerf_frame_ngpc8")).splitlines()
    assert lines[0] == f"// Load words of the scheduler unit, {WIDTH} bits: table 2, address, data"
    assert lines[1].startswith(
        "// config n_descriptors=32 n_operations=16 n_units=4 n_pools=1 n_chunks=16 share_bits=7"
    )
    assert re.fullmatch(r"[0-9a-f]{19}  // March1 on sm, chunks 0-3", lines[3])
    assert "// EncodeMlp1 on nfp, chunks 0-3, after done of March" in {line.partition("  ")[2] for line in lines}
    assert lines[-2].endswith("// all chunks of Composite")
    assert lines[-1].endswith("// 12 nano-operations, 60 times")


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        disassemble(text)
    return str(caught.value)


GOOD = assemble(load_program("nerf_frame_ngpc8"))
LINES = GOOD.splitlines()
CONFIG_LINE, PROGRAM_LINE = LINES[1:3]


def without(said: str) -> str:
    """The file without the line that says so."""
    rest = [line for line in LINES if f"// {said}" not in line]
    assert len(rest) == len(LINES) - 1
    return "\n".join(rest)


def changed(line: int, mask: int) -> str:
    """The file with bits of one word flipped."""
    word = int(LINES[line].partition("//")[0], 16) ^ mask
    return "\n".join([*LINES[:line], f"{word:x}", *LINES[line + 1 :]])


DATA = LOAD_TABLE_BITS + index_bits(32)
WRONG = {
    "nothing": ("", "load words must have one line '// config', not 0"),
    "two builds": (f"{CONFIG_LINE}\n{GOOD}", "load words must have one line '// config', not 2"),
    "no words": (CONFIG_LINE, "load words must have DESCRIPTOR 0, not leave it out"),
    "unknown key": ("// config depth=3", "key of the config line must be one of n_descriptors, "),
    "no number": ("// config n_units=many", "n_units of the config line must be a number, not 'many'"),
    "impossible build": ("// config n_units=99", "n_units of the scheduler must be an integer from 1 to 8, not 99"),
    "prose": (f"{GOOD}hello", f"line 20 must be a hexadecimal word of {WIDTH} bits, not 'hello'"),
    "too wide": (f"{GOOD}{1 << WIDTH:x}", f"line 20 must be a hexadecimal word of {WIDTH} bits, not '"),
    "fourth table": (f"{GOOD}3", "table of line 20 must be one of 0, 1, 2, not 3"),
    "twice": (f"{GOOD}{LINES[-1]}", "line 20 must be a word of its own, not CONTROL 0 again"),
    "no descriptor 3": (without("March2 on"), "load words must have DESCRIPTOR 3, not leave it out"),
    "no last descriptor": (without("Composite4 on"), "number of descriptors must be CONTROL's 12, not 11"),
    "no operation 1": (without("all chunks of EncodeMlp"), "load words must have OPERATION 1, not leave it out"),
    "another order": (
        "\n".join([*LINES[:3], LINES[4], LINES[3], *LINES[5:]]),
        "load words must be those of a program as it is assembled, not others that run nerf_frame_ngpc8",
    ),
    "no control": ("\n".join(LINES[:-1]), "load words must have CONTROL 0, not leave it out"),
    "no chunks": (changed(3, 0xF << DATA), "chunks of March1 must be an integer from 1 to "),
    "chunks of another": (changed(3, 0x10 << DATA), "chunks of March2 must not overlap those of another part of March"),
    "fewer chunks": (changed(15, 0x1 << DATA), "load words must be those of a program as it is assembled, not others"),
    "announced for nobody": (changed(3, 1 << (DATA + 24)), "load words must be those of a program as it is assembled"),
    "names in prose": (GOOD.replace(PROGRAM_LINE, "// program hello"), "line '// program' must be JSON, not text with"),
    "names in a list": (GOOD.replace(PROGRAM_LINE, "// program []"), "line '// program' must be a table, not []"),
    "a name less": (
        GOOD.replace('"March1", ', ""),
        "nano_operations of the program line must be a list of 12, not ['EncodeMlp1', ",
    ),
    "a duration less": (
        GOOD.replace('"duration_us": [802.6, ', '"duration_us": ['),
        "duration_us of the program line must be a list of 12, not [4463.0, ",
    ),
    "a duration of text": (
        GOOD.replace("[802.6,", '["long",'),
        "duration_us of March1 must be a number above 0, not 'l",
    ),
    "endless": (GOOD + "\n" * 5000, "load words must be at most 4096 lines, not 5019"),
}


@pytest.mark.parametrize(("text", "start"), WRONG.values(), ids=WRONG)
def test_no_other_file_is_disassembled(text: str, start: str) -> None:
    assert refusal(text).startswith(start)


def test_a_program_that_does_not_fit_is_not_assembled() -> None:
    with pytest.raises(InputError) as caught:
        assemble(load_program("llama2_70b_2048"), SchedulerConfig(n_descriptors=8, n_operations=8))
    assert str(caught.value) == (
        "nano-operations of program llama2_70b_2048 must be at most 8 for this scheduler, not 27"
    )
