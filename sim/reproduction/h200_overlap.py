"""Kernels side by side on an H200: what each keeps of its speed, beside a table made from a few of them.

For every way of sharing the SMs the table is the mean over four GEMMs of LLaMA-3-8B (for collectives: one GEMM of
LLaMA-70B) of the packaged measurements, by the number of SMs or blocks the partner has, with straight lines between.
The GEMMs of other models and sizes are predictions.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from sim.reproduction.comparison_row import ComparisonRow
from sim.reproduction.measured_data import MeasuredRow, read_measured

__all__ = ["attention_rates", "collective_rates", "overlap_rows"]

_REFERENCE = {("UG", 1024), ("D", 1024), ("O", 1024), ("UG", 2048)}
_COLLECTIVE_REFERENCE = ("UG", 1024)

_REASONS = {
    "green": "disjoint SMs: a GEMM loses more the worse its tiles divide among what is left",
    "dyn": "a GEMM that takes its tiles from a counter: short GEMMs have few tiles to deal out",
    "none_default": "no partition: whether the library's GEMM gets another wave depends on its number of tiles",
    "sm_target": "no partition, the GEMM told to use fewer SMs: its tiles divide among them well or badly",
    "cores": "attention on the GEMM's own SMs: who gets the shared memory first depends on sizes",
}

Key = tuple[str, ...]
Points = tuple[np.ndarray, np.ndarray, np.ndarray]


def overlap_rows(data: Mapping[str, Sequence[MeasuredRow]]) -> Iterator[ComparisonRow]:
    """Two rows, of the GEMM and of what runs beside it, for every measured pair."""
    for row in data.get("C_gemm_x_attention", ()):
        yield from _attention(row)
    for row in data.get("N_gemm_x_collective", ()):
        yield from _collective(row)


def attention_rates(key: Key, n_sms: int) -> tuple[float, float] | None:
    """What GEMM and attention keep of their speed with ``n_sms`` SMs for attention; None if nobody measured that way.

    ``key`` is (part, GEMM implementation, warps, stages) as in C_gemm_x_attention.
    """
    return _along(_attention_table().get(key), n_sms)


def collective_rates(collective: str, mode: str, n_blocks: int) -> tuple[float, float] | None:
    """The same for a collective (``AR``, ``AG``) of ``n_blocks`` thread blocks, 0 for as many as the library takes."""
    return _along(_collective_table().get((collective, mode)), n_blocks)


def _key(row: MeasuredRow) -> Key:
    return (row.text("part"), row.text("impl"), row.text("warps"), row.text("stages"))


def _attention(row: MeasuredRow) -> Iterator[ComparisonRow]:
    sms, part = row.integer("k"), row.text("part")
    ours = attention_rates(_key(row), sms)
    if ours is None:
        return
    covered = row.text("covered1") != "False" and row.text("covered2") != "False"
    reason = _REASONS.get(part, _REASONS["sm_target"])
    if not covered:
        reason = "one kernel ended before the other, so the measured speed is part alone; the table has whole overlap"
    elif row.text("model") == "l8b" and (row.text("op"), row.integer("M")) in _REFERENCE:
        reason = f"one of the four GEMMs whose mean the table is; {reason}"
    what = f"C_gemm_x_attention, {row.text('model')} {row.text('op')} {row.integer('M')}, {part} "
    what += f"{'/'.join(_key(row)[1:])}, {sms} SMs, line {row.line}"
    yield from _both(what, ours, (row.number("P_gemm"), row.number("P_attn")), reason)


def _collective(row: MeasuredRow) -> Iterator[ComparisonRow]:
    ours = collective_rates(row.text("coll"), row.text("mode"), row.integer("group"))
    if ours is None:
        return
    reason = "a table of one GEMM; shorter GEMMs end before the collective or leave it more SMs"
    if row.text("covered2") == "False":
        reason = "the collective outlasted the GEMMs, so its measured speed is part alone"
    what = (
        f"N_gemm_x_collective, {row.text('op')} {row.integer('M')}, {row.text('coll')} of {row.integer('rows')} rows, "
    )
    what += f"{row.integer('group') or 'all'} blocks, {row.text('mode')}, line {row.line}"
    yield from _both(what, ours, (row.number("P_gemm"), row.number("P_coll")), reason)


def _both(
    what: str, ours: tuple[float, float], measured: tuple[float | None, float | None], reason: str
) -> Iterator[ComparisonRow]:
    """A row for the GEMM and one for its partner, of what was measured."""
    for name, value, reference in zip(("GEMM", "its partner"), ours, measured, strict=True):
        if reference:
            yield ComparisonRow(
                what=f"{what}, P of {name}", ours=value, reference=reference, source="calibrated", reason=reason
            )


def _along(points: Points | None, at: float) -> tuple[float, float] | None:
    if points is None:
        return None
    places, gemm, other = points
    return float(np.interp(at, places, gemm)), float(np.interp(at, places, other))


@cache
def _attention_table() -> dict[Key, Points]:
    samples: dict[Key, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in read_measured()["C_gemm_x_attention"]:
        if row.text("model") == "l8b" and (row.text("op"), row.integer("M")) in _REFERENCE:
            samples[_key(row)][row.integer("k")].append((row.number("P_gemm") or 0.0, row.number("P_attn") or 0.0))
    return {key: _means(found) for key, found in samples.items()}


@cache
def _collective_table() -> dict[Key, Points]:
    samples: dict[Key, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in read_measured()["N_gemm_x_collective"]:
        if (row.text("op"), row.integer("M")) == _COLLECTIVE_REFERENCE:
            pair = (row.number("P_gemm") or 0.0, row.number("P_coll") or 0.0)
            samples[row.text("coll"), row.text("mode")][row.integer("group")].append(pair)
    return {key: _means(found) for key, found in samples.items()}


def _means(found: Mapping[int, Sequence[tuple[float, float]]]) -> Points:
    places = sorted(found)
    means = np.array([np.mean(found[place], axis=0) for place in places])
    return np.array(places, dtype=float), means[:, 0], means[:, 1]
