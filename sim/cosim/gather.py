"""Loops that copy entries between arrays: the runs of equal steps in a list of places."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

__all__ = ["copies", "loop"]

_INDEX = "lanes_index"
_SHORTEST = 4
"""Entries from which a run is a loop."""

Place = tuple[str, int]
"""An array and an index."""


def loop(first: int, end: int) -> str:
    """The head of a loop over ``lanes_index``."""
    return f"for ({_INDEX} = {first}; {_INDEX} < {end}; {_INDEX} = {_INDEX} + 1)"


def copies(target: str, sources: Mapping[int, Place], sizes: Mapping[str, int], *, only: bool = False) -> list[str]:
    """Statements that put ``sources`` into the entries of ``target``; entries not named change too, but for ``only``.

    ``sizes`` are the entries of the arrays, the target's among them.
    """
    lines = []
    left = dict(sources)
    far = Counter((array, index - place) for place, (array, index) in sources.items())
    (array, offset), count = far.most_common(1)[0]
    if not only and count >= max(_SHORTEST, len(sources) // 2):
        # most entries come from the same distance: one loop over all, the others after it
        first, end = max(0, -offset, min(sources)), min(max(sources) + 1, sizes[array] - offset, sizes[target])
        lines.append(f"{loop(first, end)} {target}[{_INDEX}] = {array}[{_at(1, offset)}];")
        left = {place: source for place, source in sources.items() if (source[0], source[1] - place) != (array, offset)}
    by_array = defaultdict(list)
    for place, (array, index) in left.items():
        by_array[array].append((place, index))
    for array, pairs in by_array.items():
        for place, index, count, step, source_step in _runs(sorted(pairs)):
            if count < _SHORTEST:
                lines += [f"{target}[{place + n * step}] = {array}[{index + n * source_step}];" for n in range(count)]
            elif step == 1:
                entry = _at(source_step, index - place * source_step)
                lines.append(f"{loop(place, place + count)} {target}[{_INDEX}] = {array}[{entry}];")
            else:
                entry = _at(source_step, index)
                lines.append(f"{loop(0, count)} {target}[{_at(step, place)}] = {array}[{entry}];")
    return lines


def _at(step: int, offset: int) -> str:
    if step == 0:
        return str(offset)
    scaled = _INDEX if step == 1 else f"{_INDEX} * {step}"
    return f"{scaled} + {offset}" if offset > 0 else f"{scaled} - {-offset}" if offset < 0 else scaled


def _runs(pairs: list[tuple[int, int]]) -> Iterable[tuple[int, int, int, int, int]]:
    """First place and index, length and steps of the longest runs from the left."""
    at = 0
    while at < len(pairs):
        count, steps = 1, (1, 1)
        if at + 1 < len(pairs):
            steps = (pairs[at + 1][0] - pairs[at][0], pairs[at + 1][1] - pairs[at][1])
            while at + count < len(pairs) and steps == (
                pairs[at + count][0] - pairs[at + count - 1][0],
                pairs[at + count][1] - pairs[at + count - 1][1],
            ):
                count += 1
        if count < _SHORTEST:
            count = 1
        yield *pairs[at], count, *steps
        at += count
