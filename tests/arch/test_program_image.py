"""The load image of a program: parts of 64 bits that make the tables' words again."""

from dataclasses import replace

from arch.descriptor import pack_program
from arch.load import LoadTarget
from arch.program_image import ADDRESS_FIELDS, program_image, word_parts
from arch.scheduler import SchedulerConfig
from arch.workload import load_program


def test_parts_make_the_words_again() -> None:
    program = load_program("nerf_frame_ngpc8")
    small = SchedulerConfig.for_program(program)
    for config in (
        small,
        replace(small, n_descriptors=64, n_operations=64, n_units=8, n_pools=4, n_chunks=64, share_bits=8),
    ):
        image, parts = program_image(program, config), word_parts(config)
        assert set(image.target.tolist()) == {int(LoadTarget.SCHEDULER)}
        found, data = [], 0
        for number, (address, word) in enumerate(zip(image.address.tolist(), image.data.tolist(), strict=True)):
            field = {name: address >> low & (1 << width) - 1 for name, (low, width) in ADDRESS_FIELDS.items()}
            assert field["part"] == number % parts and field["last"] == (number % parts == parts - 1)
            data |= word << 64 * field["part"]
            if field["last"]:
                found.append((field["table"], field["address"], data))
                data = 0
        assert found == [(int(table), at, word) for table, at, word in pack_program(program, config).load_words()]
    assert word_parts(small) == 2 and parts == 3
