"""The register map read from SystemRDL: addresses, numbers of a build, and the hash that names it."""

from dataclasses import replace

import pytest

from arch.errors import InputError
from arch.nfp import NFP_COUNTERS, ClusterConfig
from arch.presets import NFPS
from arch.register_map import ADDRESS_BITS, FieldKind, build_parameters, config_hash, register_map

CONFIG = ClusterConfig(nfp=NFPS["nfp-32x32"], n_nfps=3)


def test_registers_lie_at_words_of_the_page_and_fields_do_not_overlap() -> None:
    registers = register_map(CONFIG).registers
    addresses = [register.address for register in registers]
    assert addresses == sorted(set(addresses))
    assert all(address % 4 == 0 and 0 <= address < 1 << ADDRESS_BITS for address in addresses)
    for register in registers:
        taken = [bit for field in register.fields for bit in range(field.low, field.low + field.width)]
        assert len(taken) == len(set(taken)) and max(taken) < 32
        # a write that changes part of a register and drops the rest would go unnoticed
        assert register.writable == all(field.writable for field in register.fields)


def test_constants_are_the_builds_numbers() -> None:
    registers = register_map(CONFIG)

    def value(register: str, field: str) -> int:
        found = registers.register(register)
        assert found.field(field).kind is FieldKind.CONSTANT
        return found.field(field).of(found.reset)

    assert registers.register("id").reset.to_bytes(4, "big") == b"NGPC"
    assert value("encoding", "n_levels") == 16 and value("encoding", "level_parallel") == 2
    assert value("table", "rows") == 1 << 17
    assert (value("array", "rows"), value("array", "cols"), value("array", "max_width")) == (32, 32, 64)
    assert (value("nano_batch", "points"), value("nano_batch", "weight_tiles")) == (128, 16)
    assert (value("cluster", "n_nfps"), value("cluster", "max_outputs"), value("cluster", "value_bits")) == (3, 4, 8)
    assert (value("side", "first"), value("side", "count")) == (32, 16)
    assert value("config_hash", "value") == config_hash(CONFIG)


def test_counters_are_registers_in_their_order() -> None:
    registers = register_map(CONFIG)
    addresses = [registers.register(name).address for name in NFP_COUNTERS]
    assert addresses == [0x80 + 4 * number for number in range(len(NFP_COUNTERS))]


def test_the_hash_names_the_hardware_and_nothing_else() -> None:
    others = [
        replace(CONFIG, n_nfps=4),
        replace(CONFIG, nfp=NFPS["nfp-16x16"]),
        replace(CONFIG, nfp=replace(CONFIG.nfp, max_outputs=5)),
    ]
    assert len({config_hash(config) for config in [CONFIG, *others]}) == 4
    assert config_hash(replace(CONFIG, clock_hz=2e8)) == config_hash(CONFIG)
    assert 0 <= config_hash(CONFIG) < 1 << 32


def test_sine_is_named_where_it_is_built_alone() -> None:
    """Builds without it keep the names they had before there was any."""
    tables = replace(NFPS["nfp-16x16"].mlp, arithmetic="fp16", activation_tables=1)
    encoding = replace(NFPS["nfp-16x16"].encoding, arithmetic="fp16")
    plain, sine = (
        replace(CONFIG, nfp=replace(NFPS["nfp-16x16"], encoding=encoding, mlp=replace(tables, sine=chosen)))
        for chosen in (False, True)
    )
    assert "sine" not in build_parameters(plain)["nfp"]["mlp"]
    assert build_parameters(sine)["nfp"]["mlp"]["sine"] is True
    assert config_hash(plain) != config_hash(sine)


def test_an_unknown_name_is_refused() -> None:
    registers = register_map(CONFIG)
    with pytest.raises(InputError, match=r"^register must be one of id, version, .*, not 'speed'$"):
        registers.register("speed")
    with pytest.raises(InputError, match=r"^field of register id must be one of value, not 'x'$"):
        registers.register("id").field("x")
