"""``ngpc memory`` from outside: its JSON, its table, its refusals."""

import json

import pytest

from arch.memory_preset import load_memory
from cli.main import main

KEYS = {
    "preset", "pattern", "requests", "gbytes_per_s", "fraction_of_peak", "mean_latency_ns", "row_hits", "row_misses",
    "row_conflicts", "requests_per_s",
}  # fmt: skip


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["memory", *arguments])
    return end.value.code


@pytest.mark.parametrize("preset", ["rtx3090", "a100_80gb", "h200", "orin"])
@pytest.mark.parametrize("pattern", ["stream", "random", "strided", "copy"])
def test_json_has_the_stable_keys(preset, pattern, capsys):
    assert run("--preset", preset, "--pattern", pattern, "--requests", "20000", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result.keys() >= KEYS
    assert (result["preset"], result["pattern"], result["requests"]) == (preset, pattern, 20_000)
    assert result["row_hits"] + result["row_misses"] + result["row_conflicts"] == 20_000
    assert 0 < result["fraction_of_peak"] <= 1 and result["requests_per_s"] > 0
    assert result["gbytes_per_s"] == pytest.approx(result["fraction_of_peak"] * result["peak_gbytes_per_s"])
    if pattern == "random":
        assert result["fraction_of_peak"] <= result["random_bound"]


def test_through_the_l2_a_table_is_read_once(capsys):
    assert run("--pattern", "random", "--requests", "300000", "--l2", "--footprint-mb", "1", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["dram_requests"] + result["l2_hits"] == 300_000
    assert result["dram_requests"] <= 1e6 / 32 and result["l2_hit_rate"] > 0.89


def test_a_copy_through_the_l2_says_what_it_does_not_charge(capsys):
    """Twice the DRAM's peak passes the L2, since half the traffic is writes that stay there; the DRAM's part is told
    apart, and every byte written was written back or is still there."""
    arguments = ("--preset", "h200", "--l2", "--pattern", "copy", "--requests", "1200000")
    assert run(*arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result.keys() >= KEYS
    assert result["gbytes_per_s"] > result["peak_gbytes_per_s"] and result["limiter"] == "l2"
    assert result["fraction_of_peak"] <= 1
    assert result["fraction_of_peak"] == pytest.approx(result["dram_gbytes_per_s"] / result["peak_gbytes_per_s"])
    assert result["dram_gbytes_per_s"] / result["gbytes_per_s"] == pytest.approx(result["dram_requests"] / 1_200_000)
    assert result["l2_fraction_of_peak"] * result["l2_peak_gbytes_per_s"] == pytest.approx(result["gbytes_per_s"])
    assert 32 * result["write_backs"] + result["dirty_bytes_left"] == 32 * 600_000
    assert result["dram_requests"] == 600_000 + result["write_backs"]
    hit_ns = load_memory("h200").l2.hit_ns
    assert result["mean_latency_ns"] == pytest.approx(hit_ns + result["dram_latency_ns"])  # no read hits
    assert run(*arguments) == 0
    shown = capsys.readouterr().out
    assert f"{result['dirty_bytes_left']} bytes written" in " ".join(shown.split())


def test_longer_drains_copy_faster(capsys):
    rates = []
    for window in ("32", "256"):
        assert run("--pattern", "copy", "--requests", "200000", "--write-window", window, "--json") == 0
        rates.append(json.loads(capsys.readouterr().out)["gbytes_per_s"])
    assert 1.5 < rates[1] / rates[0] < 2.0


def test_a_hyphen_is_an_underscore(capsys):
    assert run("--preset", "a100-80gb", "--requests", "1000", "--json") == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "a100_80gb"


def test_mappings_and_refreshes_can_be_chosen(capsys):
    fraction = {}
    for mapping in ("line", "group_high"):
        assert run("--requests", "200000", "--preset", "orin", "--mapping", mapping, "--json") == 0
        fraction[mapping] = json.loads(capsys.readouterr().out)["fraction_of_peak"]
    assert fraction["group_high"] == pytest.approx(fraction["line"] / 2, rel=0.05)
    assert run("--requests", "1000", "--refresh", "all_bank") == 0
    assert "all_bank" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--preset", "none"],
            "memory preset must be one of a100_80gb, h200, orin, rtx3090, gddr6x, hbm2e, hbm3e, lpddr5, not 'none'",
        ),
        (["--pattern", "zigzag"], "pattern must be one of stream, random, strided, copy, not 'zigzag'"),
        (["--requests", "0"], "requests must be an integer from 1 to 67108864, not 0"),
        (["--mapping", "x"], "mapping preset must be one of line, row, group_high, channel_high, not 'x'"),
        (["--refresh", "x"], "refresh must be one of per_bank, all_bank, not 'x'"),
        (["--write-window", "0"], "write_window must be an integer from 1 to 1024, not 0"),
        (["--stride", "8"], "stride_bytes must be an integer from 32 to 103079215104, not 8"),
        (["--footprint-mb", "nan"], "footprint_mb must be a number from 0.000512 to 206158.430208, not nan"),
        (["--footprint-mb", "1e8"], "footprint_mb must be a number from 0.000512 to 206158.430208, not 100000000.0"),
        (["--footprint-mb", "0.0001"], "footprint_mb must be a number from 0.000512 to 206158.430208, not 0.0001"),
        (
            ["--pattern", "strided", "--stride", "1000000", "--footprint-mb", "0.5"],
            (
                "stride_bytes must be at most half of the footprint, 250000, not 1000000; take a shorter stride or a "
                "larger footprint"
            ),
        ),
        (["--seed", "-1"], "seed must be an integer from 0 to 9223372036854775807, not -1"),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_and_exit_code_2(arguments, sentence, capsys):
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"ngpc: {sentence}\n")


@pytest.mark.parametrize(
    ("kind", "gpu", "peak"),
    [("GDDR6X", "rtx3090", 936), ("HBM2e", "a100_80gb", 2039), ("HBM3e", "h200", 4800), ("lpddr5", "orin", 204.8)],
)
def test_a_kind_of_memory_is_that_of_its_gpu(kind, gpu, peak, capsys):
    assert run("--preset", kind, "--requests", "5000", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["preset"], result["gpu"]) == (kind, gpu)
    assert result["peak_gbytes_per_s"] == pytest.approx(peak)
