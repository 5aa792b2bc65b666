"""``ngpc serve`` from outside: its JSON, its table, its refusals, its speed."""

import json

import pytest

from cli.main import main


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(["serve", *arguments])
    return end.value.code


KEYS = {"trace", "rate", "requests", "throughput_tokens_per_s_per_gpu", "ttft_s", "tpot_s", "normalized_latency_s",
        "seconds"}  # fmt: skip


def test_json_has_the_stable_keys(capsys):
    assert run(["--trace", "lmsys", "--rate", "10", "--requests", "2000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) >= KEYS
    assert (result["trace"], result["rate"], result["requests"]) == ("lmsys", 10.0, 2000)
    for name in ("ttft_s", "tpot_s", "normalized_latency_s"):
        assert set(result[name]) == {"mean", "p50", "p90", "p99"}
        assert 0 < result[name]["p50"] <= result[name]["p90"] <= result[name]["p99"]
    assert result["source"] == "cycle_model" and result["extrapolated"] is False


def test_fifty_thousand_requests_in_under_twenty_seconds(capsys):
    assert run(["--trace", "sharegpt", "--requests", "50000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["requests"] == 50_000 and result["seconds"] < 20


def test_a_trace_file_and_the_table(capsys, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("arrival_s,prompt,decode\n0,100,20\n0.5,50,30\n")
    assert run(["--trace", str(path), "--engine", "sequential", "--synchronous"]) == 0
    shown = capsys.readouterr().out
    assert "2 requests of" in shown and "normalised latency" in shown and "calibrated" in shown


def test_the_same_seed_gives_the_same_run(capsys):
    found = []
    for seed in ("1", "1", "2"):
        run(
            ["--trace", "lmsys", "--rate", "9", "--requests", "300", "--engine", "sequential", "--seed", seed, "--json"]
        )
        found.append(json.loads(capsys.readouterr().out)["normalized_latency_s"])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--trace", "poem"], "ngpc: requests preset must be one of 1024-512, "),
        (["--trace", "/no/such.csv"], "ngpc: trace must be a readable file, not '/no/such.csv' (No such file"),
        (["--rate", "-2"], "ngpc: rate must be a number above 0, not -2.0"),
        (["--rate", "nan"], "ngpc: rate must be a number above 0, not nan"),
        (["--requests", "-1"], "ngpc: requests must be 0 or more, not -1"),
        (["--engine", "warp"], "ngpc: engine must be one of overlapped, nano_only, sequential, not 'warp'"),
        (
            ["--interference", "x"],
            "ngpc: interference table must be one of paper, artifact, h200_green, h200_dynamic, not 'x'",
        ),
        (
            ["--device", "a100_80gb"],
            "ngpc: device must hold the 140 GB of weights of llama2_70b and a page of its cache, not 80 GB",
        ),
        (
            ["--model", "llama3_405b"],
            "ngpc: device must hold the 810 GB of weights of llama3_405b and a page of its cache, not 640 GB",
        ),
    ],
)
def test_bad_input_is_one_sentence(arguments, start, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(start) and not shown.out


def test_several_rates_are_a_table_of_latencies(capsys):
    assert run(["--trace", "lmsys", "--rates", "5,20", "--requests", "500", "--arrivals", "bursty", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["rate"] for row in rows] == [5.0, 20.0] and all(set(row) >= KEYS for row in rows)
    assert rows[0]["normalized_latency_s"]["mean"] < rows[1]["normalized_latency_s"]["mean"]
    assert run(["--trace", "lmsys", "--rates", "5,20", "--requests", "100"]) == 0
    assert "latency p99" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rates", "5,x"], "ngpc: rates must be numbers above 0 with commas between, not '5,x'"),
        (["--rates", "5", "--rate", "3"], "ngpc: rate must be left out beside rates, not be given too"),
        (["--arrivals", "rushed"], "ngpc: arrivals must be one of poisson, regular, bursty, not 'rushed'"),
        (["--batch", "100"], "ngpc: dense batch must be a multiple of 128 from 512 to 8192, not 100"),
    ],
)
def test_more_bad_input(arguments, message, capsys):
    assert run(arguments) == 2
    assert capsys.readouterr().err == message + "\n"


def test_a_trace_of_every_iteration(capsys, tmp_path):
    path = tmp_path / "t.json"
    assert run(["--trace", "lmsys", "--requests", "200", "--perfetto", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    events = json.loads(path.read_text())["traceEvents"]
    iterations = [event for event in events if event["ph"] == "X"]
    assert len(iterations) == result["counters"]["iterations"]
    assert sum(event["args"]["decode_rows"] for event in iterations) == result["counters"]["decode_rows"]
    assert sum(event["args"]["wasted_rows"] for event in iterations) == result["counters"]["wasted_rows"]
    assert max(event["args"]["pages"] for event in iterations) == result["counters"]["peak_pages"]
    assert iterations[-1]["ts"] + iterations[-1]["dur"] == pytest.approx(1e6 * result["makespan_s"], rel=0.01)
    assert {event["name"] for event in events if event["ph"] == "C"} == {
        "decode_rows", "prefill_rows", "wasted_rows", "requests", "pages",
    }  # fmt: skip
    assert run(["--rates", "1,2", "--perfetto", str(path)]) == 2
    assert capsys.readouterr().err == "ngpc: rates must be one rate for a perfetto trace, not several\n"
