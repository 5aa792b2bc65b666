"""Refusals by full text: the checks every configuration shares, and configurations given parts of another kind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arch.errors import InputError, check_integer, check_multiple, check_one_of, check_positive
from arch.field import FieldConfig
from arch.grid import GridConfig
from arch.mlp import MlpConfig
from arch.nfp import ClusterConfig
from arch.presets import FIELDS, NFPS
from arch.workload import load_node

NO_NUMBERS = (None, True, "4", float("nan"), float("inf"), -1, 0, (), np.int64(4))
NODE = load_node("8xa100_80gb")


@pytest.mark.parametrize("value", [*NO_NUMBERS, 1.5, 4.0, 10**30], ids=repr)
@pytest.mark.parametrize(
    ("check", "rule"),
    [
        (lambda value: check_integer("width", value, 1, 64), "an integer from 1 to 64"),
        (lambda value: check_multiple("width", value, 4, 4, 64), "a multiple of 4 from 4 to 64"),
        (lambda value: check_one_of("width", value, (1, 4)), "one of 1, 4"),
    ],
    ids=["integer", "multiple", "one of"],
)
def test_only_a_python_integer_in_range_is_an_integer(check: Callable[[Any], None], rule: str, value: Any) -> None:
    check(4)
    with pytest.raises(InputError) as refused:
        check(value)
    assert str(refused.value) == f"width must be {rule}, not {value!r}"


@pytest.mark.parametrize("value", [*NO_NUMBERS, 10**400], ids=lambda value: repr(value)[:20])
def test_a_positive_number_is_finite_and_python_s_own(value: Any) -> None:
    for good in (1, 0.5, 10**30, np.float64(2.0)):
        check_positive("rate", good)
    with pytest.raises(InputError) as refused:
        check_positive("rate", value)
    assert str(refused.value) == f"rate must be a number above 0, not {value!r}"


@pytest.mark.parametrize("wrong", [None, 3, "x", FIELDS["nerf_hash"]], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("config", "name", "what", "kind"),
    [
        (FIELDS["nerf_hash"], "grid", "grid", GridConfig),
        (FIELDS["nerf_hash"], "network", "network", MlpConfig),
        (NFPS["nfp-16x16"], "encoding", "encoding", type(NFPS["nfp-16x16"].encoding)),
        (NFPS["nfp-16x16"], "mlp", "mlp", type(NFPS["nfp-16x16"].mlp)),
        (ClusterConfig(nfp=NFPS["nfp-16x16"]), "nfp", "nfp", type(NFPS["nfp-16x16"])),
        (NODE, "gpu", "gpu of a node", type(NODE.gpu)),
        (NODE.gpu, "memory", "memory of a100_80gb", type(NODE.gpu.memory)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_of_another_kind_is_refused(config: Any, name: str, what: str, kind: type, wrong: Any) -> None:
    with pytest.raises(InputError) as refused:
        replace(config, **{name: wrong})
    assert str(refused.value) == f"{what} must be a {kind.__name__}, not {wrong!r}"


def test_an_optional_part_is_of_its_kind_or_absent() -> None:
    with pytest.raises(InputError) as refused:
        FieldConfig(app="gia", grid=FIELDS["gia_hash"].grid, network=FIELDS["gia_hash"].network, rgb_network=3)
    assert str(refused.value) == "rgb_network must be a MlpConfig, not 3"
    with pytest.raises(InputError) as refused:
        replace(NODE.gpu, network=3)
    assert str(refused.value) == "network of a100_80gb must be a NetworkConfig, not 3"


@pytest.mark.parametrize(("scale", "shown"), [(100.0, "1.6e+31"), (1e30, "1.072e+301"), (10**30, "1.072e+301")])
def test_a_finest_level_past_32_bits_is_refused(scale: float, shown: str) -> None:
    with pytest.raises(InputError) as refused:
        GridConfig(n_pos_dims=3, per_level_scale=scale)
    assert str(refused.value) == (
        f"the finest level must have fewer than 2^31 vertices per axis, not {shown}; lower per_level_scale or n_levels"
    )
