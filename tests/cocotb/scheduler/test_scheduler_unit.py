"""The scheduler unit's Verilog under Verilator: equal to its cycle model, and legal."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from arch.scheduler import SchedulerConfig
from rtl.scheduler.scheduler_unit import SchedulerUnit

BENCH = Path(__file__).with_name("scheduler_unit_bench.py")

SMALL = SchedulerConfig(n_descriptors=8, n_operations=3, n_units=2, n_pools=2, n_chunks=4, share_bits=3)
LARGE = SchedulerConfig(n_descriptors=64, n_operations=32, n_units=8, n_pools=4, n_chunks=64, share_bits=8)
LEAST = SchedulerConfig(n_descriptors=8, n_operations=1, n_units=1, n_pools=1, n_chunks=1, share_bits=1)


def run(cocotb_run: Callable[..., None], config: SchedulerConfig, n_programs: int) -> None:
    environment = {"NGPC_CONFIG": json.dumps(dataclasses.asdict(config)), "NGPC_PROGRAMS": str(n_programs)}
    cocotb_run(SchedulerUnit(config), "scheduler_unit", BENCH, environment=environment)


@pytest.mark.cocotb
def test_default_build_runs_random_programs(cocotb_run: Callable[..., None]) -> None:
    run(cocotb_run, SchedulerConfig(n_pools=2), 20)


@pytest.mark.cocotb
@pytest.mark.long
@pytest.mark.parametrize("config", [LEAST, SMALL, LARGE], ids=["least", "small", "large"])
def test_other_builds_run_random_programs(cocotb_run: Callable[..., None], config: SchedulerConfig) -> None:
    run(cocotb_run, config, 60)


@pytest.mark.cocotb
@pytest.mark.long
def test_default_build_runs_many_random_programs(cocotb_run: Callable[..., None]) -> None:
    run(cocotb_run, SchedulerConfig(n_pools=2), 300)
