"""The settings in use beside what the documentation says about each."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from device.config import Settings
from device.web.admin_records import SettingView
from device.web.help import DOCS

_SECRET = frozenset({("forward", "token"), ("storage", "database")})
"""Told only whether they are set."""
_HEADING = re.compile(r"## \[(\w+)\]")
_ROW = re.compile(r"\| `(\w+)` \| `?(.*?)`? \| (\S.*) \|$")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def explain_settings(settings: Settings) -> tuple[SettingView, ...]:
    """Every setting in the order of the documentation."""
    values = msgspec.to_builtins(settings)
    return tuple(
        SettingView(
            section=section,
            key=key,
            value=_text(section, key, values[section][key]),
            default=default,
            meaning=meaning,
        )
        for section, key, default, meaning in _read_documented()
    )


@lru_cache(maxsize=1)
def _read_documented() -> tuple[tuple[str, str, str, str], ...]:
    return tuple(_rows((DOCS / "settings.md").read_text(encoding="utf-8")))


def _rows(text: str) -> Iterator[tuple[str, str, str, str]]:
    """Section, key, default and meaning of every line of the tables, as plain text."""
    section = ""
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            section = heading[1]
        elif row := _ROW.match(line):
            yield section, row[1], row[2], _LINK.sub(r"\1", row[3]).replace("`", "")


def _text(section: str, key: str, value: Any) -> str:
    if value is None:
        return "none"
    if (section, key) in _SECRET:
        return "set, not shown"
    return msgspec.json.encode(value).decode()
