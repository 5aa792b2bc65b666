"""docs/engines/scheduler/descriptor.md states the bits of ``arch.descriptor``, and no others."""

import re
from pathlib import Path

import pytest

from arch.descriptor import control_fields, descriptor_fields
from arch.scheduler import SchedulerConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines" / "scheduler" / "descriptor.md"


def stated(section: str) -> dict[str, tuple[int, int]]:
    """High and low bit of every field in the section's table."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (\d+):(\d+) \|", text, flags=re.MULTILINE)
    return {name: (int(high), int(low)) for name, high, low in rows}


def built(fields: dict[str, int]) -> dict[str, tuple[int, int]]:
    places, low = {}, 0
    for name, width in fields.items():
        places[name] = (low + width - 1, low)
        low += width
    return places


@pytest.mark.parametrize(("section", "fields"), [("Descriptor", descriptor_fields), ("Control word", control_fields)])
def test_the_page_states_the_default_build(section: str, fields: object) -> None:
    page, places = stated(section), built(fields(SchedulerConfig()))
    assert page == {name: places[name] for name in page}
    # the second and later waits are stated by their first bit
    assert {name for name in places if not re.match("predecessor[123]_(?!valid)", name)} == page.keys()


def test_the_drawing_ends_where_the_descriptor_does() -> None:
    drawn = re.search(r"^ (\d+) +59 58", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert int(drawn[1]) + 1 == sum(descriptor_fields(SchedulerConfig()).values())
