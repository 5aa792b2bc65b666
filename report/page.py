"""One self-contained HTML page: tables, plots and pictures inline, nothing fetched from a network."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

__all__ = ["Section", "image", "page", "paragraph", "pictures", "points", "table"]

SOURCES = {
    "rtl": "measured in RTL",
    "cycle_model": "computed by the cycle model",
    "calibrated": "calibrated from a named source",
    "published": "published by a paper",
}
"""Where a figure comes from, as the tables' ``source`` column says it and as the page explains it."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and the HTML under it, made by the functions below."""

    title: str
    parts: Sequence[str]

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """HTML text of the whole page, from the template beside this file."""
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    contents = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    bodies = [
        f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{"".join(section.parts)}</section>'
        for section in sections
    ]
    return template.substitute(
        title=escape(title), summary=escape(summary), contents=contents, sections="\n".join(bodies)
    )


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def points(sentences: Sequence[str]) -> str:
    """A list of plain sentences."""
    return "<ul class='note'>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; numbers to the right with four significant digits, a column named ``source`` as coloured tags."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell(column, value) for column, value in zip(columns, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def image(data: bytes, kind: str, caption: str) -> str:
    """A figure from PNG or SVG bytes; ``kind`` is ``png`` or ``svg+xml``."""
    encoded = base64.b64encode(data).decode()
    text = escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/{kind};base64,{encoded}"><figcaption>{text}</figcaption></figure>'
    )


def pictures(figures: Sequence[str]) -> str:
    """Figures side by side."""
    return f'<div class="pictures">{"".join(figures)}</div>'


def _cell(column: str, value: Any) -> str:
    if column == "source" and value in SOURCES:
        return f'<td><span class="tag {value}" title="{SOURCES[value]}">{value}</span></td>'
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, float):
        return f'<td class="number">{value:,.0f}</td>' if abs(value) >= 1e4 else f'<td class="number">{value:.4g}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{'' if value is None else escape(str(value))}</td>"
