"""The page's Markdown as one HTML file that opens without a network."""

import base64
import io
import re
import struct
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from PIL import Image

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
    converter.add_render_rule("pair_open", lambda *_: '<div class="pair">\n')
    converter.add_render_rule("pair_close", lambda *_: "</div>\n")
    tokens = converter.parse(markdown)
    title = mark(tokens)
    first, contents, rest = parted(tokens)

    def rendered(part: Sequence[Token]) -> Markup:
        html = converter.renderer.render(part, converter.options, {"folder": folder})
        return Markup(html.rstrip())

    template = Environment(
        autoescape=True, loader=FileSystemLoader(HERE), keep_trailing_newline=True
    ).get_template("page.html")
    return template.render(
        title=title,
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "report.js").read_text(encoding="utf-8")),
        first=rendered(first),
        contents=contents,
        body=rendered(rest),
    )


def parted(tokens: list[Token]) -> tuple[list[Token], list[tuple[str, str]], list[Token]]:
    """What stands before the contents, (title, id) of each section, and the sections. The list of
    contents itself becomes the navigation."""
    starts = [i for i, token in enumerate(tokens) if token.type == "heading_open"]
    sections = [i for i in starts if tokens[i].tag == "h2"]
    if not sections or tokens[sections[0] + 1].content != "Contents":
        return [], [], tokens
    titles = [tokens[i + 1].content for i in sections[1:]]
    body = tokens[sections[1] :] if titles else []
    return tokens[: sections[0]], [(title, anchor(title)) for title in titles], body


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
        elif token.type == "paragraph_open" and (count := images(tokens[i + 1])):
            token.hidden = tokens[i + 2].hidden = True
            if count > 1:  # side by side
                token.hidden = tokens[i + 2].hidden = False
                token.type, tokens[i + 2].type = "pair_open", "pair_close"
    return first


def images(token: Token) -> int:
    """How many images a paragraph has; 0 where it has something else."""
    kinds = [child.type for child in token.children or ()]
    return kinds.count("image") if set(kinds) <= {"image", "softbreak"} else 0


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
    path = env["folder"] / unquote(str(tokens[i].attrs["src"]))
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise BadInput(f"{path} is no PNG; draw it again: bash run_all.sh figures")
    pixels = struct.unpack(">II", content[16:24])
    width, height = [round(96 / 160 * side) for side in pixels]  # style: savefig.dpi 160
    alt = escape(tokens[i].content)
    data = base64.b64encode(smaller(content)).decode()
    return (
        f'<figure><img alt="{alt}" width="{width}" height="{height}"'
        f' src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>\n'
    )


def smaller(png: bytes) -> bytes:
    """A picture in 256 colours, which is a third of its bytes and looks the same; as it is where
    it cannot be read as a picture."""
    try:
        picture = Image.open(io.BytesIO(png)).convert("RGB")
    except OSError:
        return png
    written = io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(written, "PNG")
    return written.getvalue()
