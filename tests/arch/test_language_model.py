"""Language models: derived widths, parameter counts that fit their shapes, and what is refused."""

from dataclasses import replace

import pytest

from arch.errors import InputError
from arch.workload import load_model, preset_names

MODEL = load_model("llama2_70b")


def test_widths_and_cache_of_llama2_70b():
    assert (MODEL.q_dim, MODEL.kv_dim) == (8192, 1024)
    assert MODEL.kv_bytes_per_token == 327_680


def test_cache_of_llama3_8b():
    assert load_model("llama3_8b").kv_bytes_per_token == 131_072


@pytest.mark.parametrize("name", preset_names("model"))
def test_parameters_follow_from_the_shape(name):
    """Attention, gated feed-forward network and two embeddings give the quoted number within 2.5 %."""
    model = load_model(name)
    attention = model.d_model * (2 * model.q_dim + 2 * model.kv_dim)
    expert = 3 * model.d_model * model.d_ffn
    embeddings = 2 * model.vocab_size * model.d_model
    assert model.n_layers * (attention + model.n_experts * expert) + embeddings == pytest.approx(
        model.n_parameters, rel=0.025
    )
    active = model.n_layers * (attention + model.n_active_experts * expert)
    assert active <= model.n_active_parameters * 1.025


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_layers": 0}, "n_layers must be an integer from 1 to 1024, not 0"),
        ({"d_model": 1.5}, "d_model must be an integer from 1 to 1048576, not 1.5"),
        ({"n_kv_heads": 7}, "n_heads must be a multiple of n_kv_heads = 7, not 64"),
        ({"n_parameters": 0}, "n_parameters must be a number above 0, not 0"),
        ({"n_active_parameters": 0}, "n_active_parameters must be a number above 0, not 0"),
        ({"n_active_parameters": 71e9}, "n_active_parameters must be at most n_parameters = 7e+10, not 7.1e+10"),
        ({"vocab_size": 0}, "vocab_size must be an integer from 1 to 16777216, not 0"),
        ({"n_experts": 0}, "n_experts must be an integer from 1 to 1024, not 0"),
        ({"n_active_experts": 2}, "n_active_experts must be an integer from 1 to 1, not 2"),
        ({"value_bytes": 8}, "value_bytes must be an integer from 1 to 4, not 8"),
    ],
)
def test_refusals(change, sentence):
    with pytest.raises(InputError) as refused:
        replace(MODEL, **change)
    assert str(refused.value) == sentence
