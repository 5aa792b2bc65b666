"""LLM operations measured on an H200, beside what the timing models make of them.

Two ways to a time: *calibrated*, with the H200's own solo times, so that single kernels agree by construction and whole
layers are the test; and *extrapolated*, the A100's efficiencies on the H200's data sheet, which is what ``ngpc tokens``
does for machines nobody has measured.
"""

from collections.abc import Iterator

from arch.workload import load_calibration, load_model, load_node
from sim.machine.partitioned_layer import PARTITIONS, REGIMES, partitioned_layer_us, sequential_layer_us
from sim.machine.token_cost import GEMMS, TokenBatch
from sim.machine.token_times import TokenTimes, token_times
from sim.reproduction.comparison_row import ComparisonRow

__all__ = ["reproduce_h200"]

_BATCH = TokenBatch(prompt=1, decode=2046, rows=2048)
"""2048 rows at a context of 1024; all but one decode, and that one is left out: none prefilled in the measured runs."""

_SPLITS = {"sequential": 1, "split_in_two": 2, "split_in_four": 4}


def reproduce_h200() -> list[ComparisonRow]:
    """Kernels, layers and overlapped layers of LLaMA-3-8B on one H200, ours beside the measured."""
    model, node = load_model("llama3_8b"), load_node("h200")
    times = token_times(model, node, _BATCH)
    scaled = TokenTimes(model=model, node=node, batch=_BATCH, calibration=load_calibration("a100_single"))
    return [*_kernels(times, scaled), *_layers(times, scaled), *_overlapped(times)]


def _kernels(times: TokenTimes, scaled: TokenTimes) -> Iterator[ComparisonRow]:
    for operation in GEMMS:
        for rows, measured_ms in times.calibration[f"nano_batch_ms.{operation}"]:
            if rows in (256, 1024, 4096):
                yield ComparisonRow(
                    what=f"{operation}, {rows} rows, extrapolated, us", ours=scaled.nano_batch_us(operation, rows),
                    reference=measured_ms * 1e3, source="calibrated",
                    reason="efficiency of an A100 kernel at 384 to 640 rows on the H200's peak",
                )  # fmt: skip
    for rows, measured_us in load_calibration("h200_layers")["other_us.layer"]:
        yield ComparisonRow(
            what=f"element-wise operations, {rows} rows, us", source="calibrated",
            ours=sum(times.nano_batch_us(name, rows) for name in ("NormAttention", "Rope", "NormFfn")),
            reference=measured_us,
            reason="in proportion to the rows, from 2048; small batches stay in the cache and large ones do not",
        )  # fmt: skip


def _layers(times: TokenTimes, scaled: TokenTimes) -> Iterator[ComparisonRow]:
    measured = load_calibration("h200_layers")
    for regime in REGIMES:
        for name, n_batches in _SPLITS.items():
            yield ComparisonRow(
                what=f"layer, {name.replace('_', ' ')}, {regime}, us", source="calibrated",
                ours=sequential_layer_us(times, regime, n_batches, prefill=False),
                reference=measured[f"layer_us.{regime}.{name}"],
                reason="sum of solo times; in the sustained regime attention between GEMMs lets the chip cool",
            )  # fmt: skip
    yield ComparisonRow(
        what="layer, sequential, extrapolated, us", source="calibrated",
        ours=sequential_layer_us(scaled, prefill=False),
        reference=measured["layer_us.burst.sequential"],
        reason="everything from A100 kernels and two data sheets, nothing measured on an H200",
    )  # fmt: skip


def _overlapped(times: TokenTimes) -> Iterator[ComparisonRow]:
    measured = load_calibration("h200_layers")
    for regime in REGIMES:
        for partition in PARTITIONS:
            for sms, reference in measured[f"layer_us.{regime}.{partition}"]:
                yield ComparisonRow(
                    what=f"layer, overlapped, {partition}, {sms} SMs for attention, {regime}, us",
                    ours=partitioned_layer_us(times, partition, sms, regime, prefill=False),
                    reference=reference, source="calibrated",
                    reason="shared rates until the shorter ends, then the partition's own; rates are burst means of "
                    "four GEMMs, so the sustained regime is further off",
                )  # fmt: skip
