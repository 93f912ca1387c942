"""The documentation as pages (`/help`), short explanations in place, and the description of the interface to read."""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

from flask import Blueprint, Response, current_app, render_template, send_file
from markdown_it import MarkdownIt
from markdown_it.token import Token

from device.errors import NotFoundError

help_pages = Blueprint("help", __name__)

DOCS = Path(__file__).parent / "docs"
_SAMPLE = Path(__file__).parents[1] / "samples" / "neurons.jpg"
GROUPS = {
    "At the instrument": ("page", "assays", "studies", "confidence", "files", "camera", "export"),
    "Setting up": ("appliance", "access", "settings", "headless", "reliability"),
    "Programs and models": ("api", "models", "adapting", "performance", "training", "architecture"),
}
"""In the order in which somebody new needs them."""


@dataclass(frozen=True, slots=True)
class Term:
    """A short explanation in place; `more` is the page of the help that says the rest."""

    title: str
    text: str
    more: str


TERMS = {
    "threshold": Term(
        "Threshold",
        "How sure the network must be that a pixel belongs to a cell, from 0 to 1. Lower: more and larger cells, also "
        "faint ones. Higher: only clear ones. Try the slider; the saved count stays until you keep the new one.",
        "page#result",
    ),
    "interval": Term(
        "90 % interval",
        "In nine of ten images the number that a person would count lies between these two. A wide interval means "
        'that many objects are doubtful: look at them, or take a better image. "At least": a warning says that cells '
        'may be missing. "Not known": the image is unlike all on which this was tested.',
        "confidence#interval",
    ),
    "flags": Term(
        "Warnings",
        "The image differs from those that the model was tested on, so the count may be wrong. Each warning says what "
        "is unusual and what to do.",
        "confidence#flags",
    ),
    "focus": Term(
        "Focus",
        "Higher is sharper. Turn the focus until the value is highest; the dashed line marks the best so far. Compare "
        "values only within one field of view and one exposure.",
        "page#capture",
    ),
    "diameter": Term(
        "Cell diameter",
        "How wide a typical cell is, in pixels of your image. Leave it empty and it is estimated. If the outlines "
        "split cells or join them, draw a line across one: on the image before it is uploaded, or with Measure on "
        "its result.",
        "page#upload",
    ),
    "assay": Term(
        "Assay",
        "The named answer to what is counted and how: model, channel, cell diameter, threshold and exposure for one "
        "stain on one microscope. Choose the one of your stain, or make one on the page Assays.",
        "assays",
    ),
    "objective": Term(
        "Objective",
        "How large a pixel is with the objective that the images were taken with. A pixel size that the file states "
        "wins over the objective, and the objective over the assay. If they differ by more than a tenth, the count "
        "carries a warning.",
        "assays#objectives",
    ),
    "doubtful": Term(
        "Doubtful objects",
        "They could be a cell or not. Press N to go from one to the next, Y if it is a cell, N if it is none.",
        "confidence",
    ),
}


@help_pages.app_context_processor
def _terms() -> dict[str, object]:
    return {"terms": TERMS}


@help_pages.get("/help")
def contents() -> str:
    """All pages of the help."""
    known = known_pages()
    listed = [name for names in GROUPS.values() for name in names]
    named = {**GROUPS, "More": tuple(name for name in known if name not in listed)}
    groups = {
        group: [(name, title_of(name)) for name in names if name in known]
        for group, names in named.items()
        if names
    }
    return render_template("help.html", title="Help", groups=groups)


@help_pages.get("/help/<name>")
def page(name: str) -> str:
    """One page of the documentation.

    Raises:
        NotFoundError: there is none of that name.
    """
    if name not in known_pages():
        raise NotFoundError("There is no such page of the help; see its contents.")
    return render_template("help.html", title=title_of(name), body=render(name))


@help_pages.get("/help/interface")
def interface() -> str:
    """Every call of the HTTP interface, from the same description that programs read."""
    return render_template("interface.html", calls=calls(current_app.spec))  # type: ignore[attr-defined]


@help_pages.get("/help/sample.jpg")
def sample() -> Response:
    """The sample image, to try the instrument with."""
    return send_file(_SAMPLE, mimetype="image/jpeg", max_age=0)


def known_pages() -> list[str]:
    """Names of all pages that are installed."""
    return sorted(path.stem for path in DOCS.glob("*.md"))


def title_of(name: str) -> str:
    """The heading of a page."""
    first = _path(name).read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ").strip()


@lru_cache(maxsize=32)
def render(name: str) -> str:
    """One page as HTML, links between the pages included."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _open_table)
    markdown.add_render_rule("table_close", _close_table)
    tokens = markdown.parse(_path(name).read_text(encoding="utf-8"))
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            before.attrSet("id", anchor(token.content))
        for inner in token.children or ():
            _localise(inner)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def anchor(heading: str) -> str:
    """The name of a heading in addresses, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _open_table(*_: Any) -> str:
    return '<div class="table-scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def _close_table(*_: Any) -> str:
    return "</table></div>\n"


def _localise(token: Token) -> None:
    """Links to other pages of the documentation lead here; pictures, which are not installed, become their text."""
    if token.type == "image":
        token.type, token.children = "text", []
    if token.type != "link_open":
        return
    target = str(token.attrs.get("href", ""))
    page_name, _, place = target.partition("#")
    if page_name.removesuffix(".md") in known_pages():
        # Beside this page, wherever a reverse proxy has put them both.
        token.attrs["href"] = page_name.removesuffix(".md") + (f"#{place}" if place else "")
    elif page_name and not target.startswith("https://"):
        token.attrs["href"] = "../help"


def _path(name: str) -> Path:
    return DOCS / f"{name}.md"


def calls(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of an OpenAPI document as the template shows them: by subject, in the order of the document."""
    subjects: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            subject = (operation.get("tags") or ["Other"])[0]
            subjects.setdefault(subject, []).append(_call(method, path, operation, document))
    return [{"subject": subject, "calls": found} for subject, found in subjects.items()]


def _call(
    method: str, path: str, operation: dict[str, Any], document: dict[str, Any]
) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {})
    fields = [
        {"name": name, "where": media, **_said(schema)}
        for media, content in body.items()
        for name, schema in _properties(content.get("schema", {}), document).items()
    ]
    parameters = [
        {"name": one["name"], "where": one["in"], **_said(one.get("schema", {}))}
        for one in operation.get("parameters", ())
    ]
    answers = {
        code: answer["description"] for code, answer in sorted(operation["responses"].items())
    }
    about = " ".join(filter(None, (operation.get("summary"), operation.get("description"))))
    return {
        "method": method.upper(),
        "path": path,
        "about": about,
        "fields": parameters + fields,
        "answers": answers,
    }


def _properties(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found = document["components"]["schemas"].get(name, schema)
    properties: dict[str, Any] = found.get("properties", {})
    return properties


_LIMITS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
    "maxLength": "characters at most:",
    "default": "usually",
}
_UNLIMITED = 2**53
"""The largest number that JSON carries exactly: a limit for programs, of no use to people."""


def _said(schema: dict[str, Any]) -> dict[str, str]:
    """Type and limits of a field in words."""
    kind = schema.get("type", "")
    words = [" or ".join(kind) if isinstance(kind, list) else str(kind)]
    if "enum" in schema:
        words.append("one of " + ", ".join(str(value) for value in schema["enum"]))
    for key, word in _LIMITS.items():
        value = schema.get(key)
        if isinstance(value, str) or (_is_number(value) and abs(value) < _UNLIMITED):
            words.append(f"{word} {_plain(value)}")
    return {"text": ", ".join(words), "about": str(schema.get("description", ""))}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
