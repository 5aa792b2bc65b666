"""Trained fields: names, files and the record of how they were made."""

import numpy as np
import pytest

from arch.checkpoint import FloatField, QuantizedField
from arch.errors import InputError
from arch.trained import PHOTOGRAPH_SIZE, TRAINED, TRAINED_ARITHMETICS, load_trained, trained_path


@pytest.mark.parametrize("app", TRAINED)
@pytest.mark.parametrize("arithmetic", TRAINED_ARITHMETICS)
def test_committed_field_loads_and_says_where_it_comes_from(app, arithmetic):
    field = load_trained(app, arithmetic)
    assert isinstance(field, FloatField if arithmetic == "fp16" else QuantizedField)
    assert field.config == TRAINED[app].config
    assert field.source == TRAINED[app].source
    assert field.command == f"scripts/train {app} --seed 1"
    assert trained_path(app, arithmetic).stat().st_size < 1_000_000


@pytest.mark.parametrize("app", TRAINED)
def test_integer_outputs_end_at_the_stated_limit(app):
    assert load_trained(app, "int8").networks[0].output_scale == TRAINED[app].output_limit / 127


def test_photograph_grid_follows_the_rule_for_images():
    levels = TRAINED["gia"].config.grid.levels
    assert not any(level.hashed for level in levels)
    assert levels[-1].resolution == PHOTOGRAPH_SIZE // 2


def test_solid_grid_is_hashed_where_it_is_fine():
    levels = TRAINED["nsdf"].config.grid.levels
    assert np.count_nonzero([level.hashed for level in levels]) == 15
    assert max(level.entries for level in levels) == 1 << 13


def test_unknown_fields_are_refused():
    with pytest.raises(InputError, match=r"^trained field preset must be one of gia, nsdf, nerf, nvr, not 'sdf'$"):
        load_trained("sdf")
    with pytest.raises(InputError, match=r"^arithmetic of a trained field must be one of fp16, int8, not 'int16'$"):
        load_trained("gia", "int16")
