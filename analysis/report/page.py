"""The page's Markdown as one HTML file that opens without a network."""

import base64
import re
import struct
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from analysis.shared.reading import BadInput

HERE = Path(__file__).parent
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?%?|-?")  # a cell that stands to the right


def anchor(title: str) -> str:
    """The id that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def to_html(markdown: str, folder: Path) -> str:
    """Markdown as a page, with the images of `folder` inside. No HTML in it is taken as such."""
    converter = MarkdownIt("commonmark", {"html": False}).enable("table")
    converter.add_render_rule("image", figure)
    converter.add_render_rule("table_open", open_table)
    converter.add_render_rule("table_close", close_table)
    tokens = converter.parse(markdown)
    title = mark(tokens)
    body = converter.renderer.render(tokens, converter.options, {"folder": folder})
    template = Environment(autoescape=True, loader=FileSystemLoader(HERE)).get_template("page.html")
    style = (HERE / "report.css").read_text(encoding="utf-8")
    return template.render(title=title, style=Markup(style), body=Markup(body.rstrip())) + "\n"


def mark(tokens: Sequence[Token]) -> str:
    """Give headings their ids, tables their names and classes, and images no paragraph. Returns the
    first heading."""
    first, heading = "", ""
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[i + 1].content
            first = first or heading
            if token.tag == "h2":
                token.attrSet("id", anchor(heading))
        elif token.type == "table_open":
            token.meta["name"] = heading
            mark_cells(tokens[i:])
        elif token.type == "paragraph_open" and is_image(tokens[i + 1]):
            token.hidden = tokens[i + 2].hidden = True
    return first


def is_image(token: Token) -> bool:
    """Whether a paragraph is nothing but images."""
    kinds = {child.type for child in token.children or ()}
    return "image" in kinds and kinds <= {"image", "softbreak"}


def mark_cells(tokens: Sequence[Token]) -> None:
    """Scope of a table's head; cells of columns that hold nothing but numbers."""
    rows: list[list[tuple[Token, str]]] = []  # cells of each line, with what they say
    for i, token in enumerate(tokens):
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append((token, tokens[i + 1].content))
            token.attrs.pop("style", None)
    head, body = rows[0], rows[1:]
    for column, (cell, _) in enumerate(head):
        cell.attrSet("scope", "col")
        said = [row[column][1].strip() for row in body]
        if said and all(NUMBER.fullmatch(text) for text in said):
            for row in rows:
                row[column][0].attrSet("class", "number")


def open_table(renderer: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """A table in a box of its own that scrolls where the screen is narrower."""
    name = escape(tokens[i].meta.get("name", ""))
    return f'<div class="scroll" role="region" tabindex="0" aria-label="table: {name}">\n<table>\n'


def close_table(renderer: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """The end of that box."""
    return "</table>\n</div>\n"


def figure(renderer: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """A figure of env's folder with its bytes inside, as wide as matplotlib meant it."""
    path = env["folder"] / str(tokens[i].attrs["src"])
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise BadInput(f"{path} is no PNG; draw it again: bash run_all.sh figures")
    pixels = struct.unpack(">II", content[16:24])
    width, height = [round(96 / 160 * side) for side in pixels]  # style: savefig.dpi 160
    alt = escape(tokens[i].content)
    data = base64.b64encode(content).decode()
    return (
        f'<figure><img alt="{alt}" width="{width}" height="{height}"'
        f' src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>\n'
    )
