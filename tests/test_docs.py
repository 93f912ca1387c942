"""The documentation names every setting and every call, with the values that hold."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from appliance import make_service

from device.config import Settings
from device.web import create_app

DOCS = Path(__file__).parents[1] / "docs"


def documented_settings() -> dict[tuple[str, str], str]:
    """(section, key) and the default as docs/settings.md shows it."""
    found, section = {}, ""
    for line in (DOCS / "settings.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## \[(\w+)\]", line):
            section = heading[1]
        if row := re.match(r"\| `(\w+)` \| `?(.*?)`? \| \S", line):
            found[section, row[1]] = row[2]
    return found


def real_settings() -> dict[tuple[str, str], object]:
    defaults = msgspec.to_builtins(Settings())
    return {
        (section, key): value for section, keys in defaults.items() for key, value in keys.items()
    }


def test_every_setting_is_documented_and_nothing_else(monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert set(documented_settings()) == set(real_settings())


@pytest.mark.parametrize("place", sorted(documented_settings()))
def test_the_documented_default_is_the_real_one(place, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    shown = documented_settings()[place]
    value = None if shown == "none" else tomllib.loads(f"value = {shown}")["value"]
    real = real_settings()[place]
    assert value == (list(real) if isinstance(real, tuple) else real)


def test_every_call_of_the_api_is_documented(tmp_path):
    app = create_app(make_service(tmp_path))
    with app.test_request_context():
        paths = app.spec["paths"]
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for path, operations in paths.items():
        for method in operations:
            name = path.replace("count_id", "id")
            assert f"`{method.upper()} {name}`" in text, f"{method.upper()} {name}"


def test_documented_calls_exist(tmp_path):
    app = create_app(make_service(tmp_path))
    with app.test_request_context():
        paths = app.spec["paths"]
    real = {
        f"{method.upper()} {path.replace('count_id', 'id')}"
        for path, operations in paths.items()
        for method in operations
    }
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:GET|POST|PATCH|DELETE) /\S+)`", text))
    assert named <= real | {"GET /api/v1/openapi.json"}


@pytest.mark.parametrize(
    "path",
    [*sorted(DOCS.glob("*.md")), *sorted(DOCS.parent.glob("*.md"))],
    ids=lambda one: one.name,
)
def test_lines_of_text_end_at_120_characters(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    text = [line for line in lines if not line.startswith(("|", "    "))]
    assert [line for line in text if len(line) > 120] == []
