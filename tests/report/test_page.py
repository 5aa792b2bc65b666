"""The report page stands alone and escapes what it shows."""

from html.parser import HTMLParser

import pytest

from report.page import Section, image, page, paragraph, pictures, points, table


class Links(HTMLParser):
    """Collects every address the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "srcset")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def text() -> str:
    rows = [("gia", 8721.5, True, 0.25, None, "cycle_model"), ("<nerf>", 12, False, 1e6, "x", "published")]
    parts = [
        paragraph("a < b"),
        points(["one & two"]),
        table(("app", "frames/s", "fits", "share", "note", "source"), rows),
        pictures([image(b"\x89PNG", "png", 'the "picture"'), image(b"<svg/>", "svg+xml", "plot")]),
    ]
    return page("Open NGPC", "In one run.", [Section(title="Frames, timed", parts=parts)])


def test_nothing_is_fetched_from_a_network(text):
    links = Links()
    links.feed(text)
    assert links.open == []
    assert len(links.addresses) == 3
    assert all(address.startswith(("data:", "#")) for address in links.addresses)
    assert "url(" not in text and "@import" not in text and "<script" not in text


def test_contents_lead_to_the_sections(text):
    assert '<a href="#frames-timed">Frames, timed</a>' in text
    assert '<section id="frames-timed">' in text


def test_text_is_escaped_and_the_template_filled(text):
    assert "<td>&lt;nerf&gt;</td>" in text and "a &lt; b" in text and "one &amp; two" in text
    assert "$title" not in text and "<title>Open NGPC</title>" in text


def test_cells_say_where_a_figure_comes_from(text):
    assert '<span class="tag cycle_model" title="computed by the cycle model">cycle_model</span>' in text
    assert '<td class="number">8722</td>' in text and '<td class="number">1,000,000</td>' in text
    assert "<td>yes</td>" in text and "<td></td>" in text
