"""The serving loop, compiled: one turn an iteration, a handful of operations a running request.

What it does is said in :mod:`sim.serving.server`; this file only keeps it fast.
"""

import numba
import numpy as np

__all__ = ["COUNTERS", "LOGGED", "PAGE_TOKENS", "serve_requests"]

PAGE_TOKENS = 16
"""Tokens of a page of cached keys and values (NanoFlow, published code: frame_page_size)."""

COUNTERS = ("iterations", "rows", "decode_rows", "wasted_rows", "padded_rows", "swaps", "peak_pages", "peak_requests")
LOGGED = ("start_s", "seconds", "decode_rows", "prefill_rows", "wasted_rows", "requests", "pages")
"""What is known of an iteration: when and how long, its rows, requests let in and pages they hold."""

_ITERATIONS, _ROWS, _DECODE_ROWS, _WASTED, _PADDED, _SWAPS, _PEAK_PAGES, _PEAK_REQUESTS = range(len(COUNTERS))


@numba.njit(cache=True)
def _place(axis: np.ndarray, value: float) -> tuple[int, float]:
    """Cell of an axis and the place in it; beyond the ends the last straight line goes on."""
    cell = 0
    while cell < len(axis) - 2 and value >= axis[cell + 1]:
        cell += 1
    return cell, (value - axis[cell]) / (axis[cell + 1] - axis[cell])


@numba.njit(cache=True)
def _plane(times: np.ndarray, share: tuple[int, float], context: tuple[int, float]) -> float:
    f, df = share
    c, dc = context
    low = times[f, c] * (1 - dc) + times[f, c + 1] * dc
    high = times[f + 1, c] * (1 - dc) + times[f + 1, c + 1] * dc
    return low * (1 - df) + high * df


@numba.njit(cache=True)
def _seconds(rows, decode_rows, cached, axes, times, padded):  # noqa: PLR0917
    """Time of an iteration, and the rows it was timed for."""
    sizes, shares, contexts = axes
    context = _place(contexts, cached / decode_rows if decode_rows else contexts[0])
    size = 0
    while sizes[size] < rows:
        size += 1
    timed = sizes[size] if padded else rows
    share = _place(shares, min(max(decode_rows / timed, shares[0]), shares[-1]))
    upper = _plane(times[size], share, context)
    if padded or size == 0:
        return upper, timed
    part = (rows - sizes[size - 1]) / (sizes[size] - sizes[size - 1])
    return _plane(times[size - 1], share, context) * (1 - part) + upper * part, timed


@numba.njit(cache=True)
def _predicted_peak(count, base, now, held, extra_tokens):
    """Most tokens held in any coming iteration, with a newcomer of ``extra_tokens`` that stays to the horizon.

    ``count[f % n]`` requests are predicted to end in iteration f, and hold ``base + f`` tokens together until then.
    """
    n = len(count)
    peak = 0
    requests, tokens = 1, extra_tokens - now
    for ahead in range(n - 2, 0, -1):
        slot = (now + ahead) % n
        requests += count[slot]
        tokens += base[slot]
        use = tokens + requests * (now + ahead + PAGE_TOKENS - 1)
        peak = max(peak, use)
    return peak + held


@numba.njit(cache=True)
def serve_requests(  # noqa: PLR0912, PLR0915, PLR0917
    arrival, prompt, decode, axes, times, padded, capacity_tokens, mean_prompt, mean_decode, asynchronous,
    max_iterations, first_s, finish_s, counters, log,
):  # fmt: skip
    """Serve every request; fills ``first_s``, ``finish_s`` and ``counters``, returns the clock at the end, or -1.

    ``log`` has a row of ``LOGGED`` for each of the first iterations, as many as it has rows.

    -1 says that ``max_iterations`` were not enough.
    """
    n = len(arrival)
    dense = axes[0][-1]
    horizon = mean_decode + 2
    count, base = np.zeros(horizon + 2, np.int64), np.zeros(horizon + 2, np.int64)
    ends, bases = np.zeros(n, np.int64), np.zeros(n, np.int64)
    left, made = prompt.copy(), np.zeros(n, np.int64)
    decoding, filling = np.empty(n, np.int64), np.empty(n, np.int64)
    swapped, over = np.empty(n, np.int64), np.empty(n, np.int64)
    n_decoding, first_filling, n_filling, n_swapped, n_over = 0, 0, 0, 0, 0
    waiting, done, clock, formed, step = 0, 0, 0.0, 0.0, 0
    slots = len(count)
    while done < n:
        if step >= max_iterations:
            return -1.0
        if not n_decoding and first_filling == n_filling and not n_swapped and not n_over:
            # nothing to do: the clock runs to the next arrival
            clock = max(clock, arrival[waiting])
            formed = clock
        step += 1
        passed = step % slots
        count[passed], base[passed] = 0, 0  # what should have ended by now has outlived its prediction

        held, late, context = 0, 0, 0
        for index in range(n_decoding):
            request = decoding[index]
            tokens = prompt[request] + made[request]
            context += tokens
            held += -(-(tokens + 1) // PAGE_TOKENS)
            if ends[request] <= step:
                late += tokens
        for index in range(first_filling, n_filling):
            held += -(-prompt[filling[index]] // PAGE_TOKENS)
            if ends[filling[index]] <= step:
                late += prompt[filling[index]]
        for index in range(n_over):
            held += -(-(prompt[over[index]] + made[over[index]]) // PAGE_TOKENS)
            late += prompt[over[index]] + made[over[index]]
        # more than was predicted: the youngest goes to the host, and comes back when there is room again
        while held * PAGE_TOKENS > capacity_tokens and n_decoding > 1:
            n_decoding -= 1
            request = decoding[n_decoding]
            tokens = prompt[request] + made[request]
            held -= -(-(tokens + 1) // PAGE_TOKENS)
            context -= tokens
            if ends[request] <= step:
                late -= tokens
            else:
                count[ends[request] % slots] -= 1
                base[ends[request] % slots] -= bases[request]
            swapped[n_swapped] = request
            n_swapped += 1
            counters[_SWAPS] += 1
        while n_swapped and n_decoding < dense:
            request = swapped[n_swapped - 1]
            tokens = prompt[request] + made[request]
            pages = -(-(tokens + 1) // PAGE_TOKENS)
            if (held + pages) * PAGE_TOKENS > capacity_tokens - mean_prompt - mean_decode and n_decoding:
                break
            n_swapped -= 1
            decoding[n_decoding] = request
            n_decoding += 1
            held += pages
            context += tokens
            late += tokens
            ends[request] = step
        while waiting < n and not n_swapped and arrival[waiting] <= formed:
            alone = not n_decoding and first_filling == n_filling and not n_over
            tokens = prompt[waiting]
            if not alone:
                reserve = mean_prompt + mean_decode + PAGE_TOKENS
                if _predicted_peak(count, base, step, late, tokens) + reserve > capacity_tokens:
                    break
            ends[waiting], bases[waiting] = step + mean_decode + 1, tokens - step
            count[ends[waiting] % slots] += 1
            base[ends[waiting] % slots] += bases[waiting]
            held += -(-tokens // PAGE_TOKENS)
            filling[n_filling] = waiting
            n_filling += 1
            waiting += 1
        if not n_decoding and first_filling == n_filling and not n_over:
            # formed too early for anybody: wait for the next request, or for one that came since
            formed = clock if waiting < n and arrival[waiting] <= clock else arrival[waiting]
            clock = max(clock, formed)
            continue

        n_rows = n_decoding + n_over
        decode_rows, cached = n_rows, context
        for index in range(n_over):
            cached += prompt[over[index]] + made[over[index]]
        room = dense - n_rows
        filled = first_filling
        while room > 0 and filled < n_filling:
            part = min(room, left[filling[filled]])
            left[filling[filled]] -= part
            room -= part
            n_rows += part
            if left[filling[filled]] == 0:
                filled += 1
        took, timed = _seconds(n_rows, decode_rows, cached, axes, times, padded)
        formed = clock if asynchronous else clock + took
        if counters[_ITERATIONS] < len(log):
            line = log[counters[_ITERATIONS]]
            line[0], line[1], line[2], line[3] = clock, took, n_decoding, n_rows - n_decoding - n_over
            line[4], line[5], line[6] = n_over, n_decoding + n_filling - first_filling, held
        clock += took
        counters[_ITERATIONS] += 1
        counters[_ROWS] += n_rows
        counters[_DECODE_ROWS] += n_decoding
        counters[_WASTED] += n_over
        counters[_PADDED] += timed - n_rows
        counters[_PEAK_PAGES] = max(counters[_PEAK_PAGES], held)
        counters[_PEAK_REQUESTS] = max(counters[_PEAK_REQUESTS], n_decoding + n_filling - first_filling)

        n_over, kept = 0, 0
        for index in range(n_decoding):
            request = decoding[index]
            made[request] += 1
            if made[request] < decode[request]:
                decoding[kept] = request
                kept += 1
                continue
            finish_s[request] = clock
            done += 1
            if ends[request] > step:
                count[ends[request] % slots] -= 1
                base[ends[request] % slots] -= bases[request]
            if asynchronous:  # its end is seen only after the next batch was formed
                over[n_over] = request
                n_over += 1
        n_decoding = kept
        for index in range(first_filling, filled):
            request = filling[index]
            first_s[request] = clock
            made[request] = 1
            if ends[request] > step:
                count[ends[request] % slots] -= 1
                base[ends[request] % slots] -= bases[request]
            if decode[request] == 1:
                finish_s[request] = clock
                done += 1
                continue
            ends[request], bases[request] = step + mean_decode, prompt[request] + 1 - step
            count[ends[request] % slots] += 1
            base[ends[request] % slots] += bases[request]
            decoding[n_decoding] = request
            n_decoding += 1
        first_filling = filled
    return clock
