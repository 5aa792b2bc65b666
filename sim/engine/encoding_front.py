"""The front of a physical level engine: when a lookup is issued, given the lookups before it that hold the arbiter.

A front moves in every clock in which no lookup holds it. Its state is a row of integers an engine: the last move used,
the clocks paused up to it, all clocks it is known to pause, and the head and tail of a ring of pauses to come.
"""

import numba

__all__ = ["PENDING_LOOKUPS", "issue_lookup", "next_move", "pause"]

PENDING_LOOKUPS = 64
"""Ring of lookups with conflicts between issue and arbiter; holds more than ``front_latency`` of them."""
_RING = PENDING_LOOKUPS - 1


@numba.njit(cache=True)
def next_move(front, pending, engine, ready):
    """The first free move of an engine's front from clock ``ready`` on; moves before it go unused.

    ``front`` holds the last move used, the pauses before it, all pauses, and the ring of pauses to come. Move n of the
    front happens in clock ``n + pauses before it``.
    """
    move, paused, head = front[engine, 0] + 1, front[engine, 1], front[engine, 3]
    while True:
        while head != front[engine, 4] and pending[engine, head & _RING, 0] <= move:
            paused += pending[engine, head & _RING, 1]
            head += 1
        if move + paused >= ready:
            break
        wanted = ready - paused
        if head != front[engine, 4] and pending[engine, head & _RING, 0] < wanted:
            wanted = pending[engine, head & _RING, 0]
        move = wanted
    front[engine, 0], front[engine, 1], front[engine, 3] = move - 1, paused, head
    return move


@numba.njit(cache=True)
def pause(front, pending, engine, move, latency, clocks):  # noqa: PLR0917 - numba takes no keywords
    """Use ``move`` for a lookup that holds the front ``clocks`` before move ``move + latency``; the move's clock."""
    front[engine, 0] = move
    if clocks:
        pending[engine, front[engine, 4] & _RING, 0] = move + latency
        pending[engine, front[engine, 4] & _RING, 1] = clocks
        front[engine, 4] += 1
        front[engine, 2] += clocks
    return move + front[engine, 1]


@numba.njit(cache=True)
def issue_lookup(front, pending, engine, ready, clocks, latency):  # noqa: PLR0917 - numba takes no keywords
    """Issue a lookup of ``clocks`` arbiter clocks from clock ``ready`` on; its last clock there, and its own."""
    move = next_move(front, pending, engine, ready)
    issued = pause(front, pending, engine, move, latency, clocks - 1)
    return move + latency + front[engine, 2], issued
