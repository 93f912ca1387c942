"""Settings files of earlier versions: a key that has moved since keeps what a person chose under its old name.

The file itself is never rewritten: its comments stay, and the version before can still read it.
"""

from typing import Any, NamedTuple

from device.errors import SettingsError


class Moved(NamedTuple):
    """A key, written "section.key", that an earlier version had.

    Attributes:
        old: its name then.
        new: its name now; None where the setting is gone.
        version: the first version of the new name.
    """

    old: str
    new: str | None
    version: str


MOVED: tuple[Moved, ...] = ()
"""Every key that a released version had and this one has not, oldest first. None so far."""


def carry_over(
    values: dict[str, Any], moved: tuple[Moved, ...]
) -> tuple[dict[str, Any], list[str]]:
    """The tables of a settings file under the present names.

    Args:
        values: the tables as read; not changed.
        moved: oldest first; a key may move more than once.

    Returns:
        The tables, and a sentence for each key that should be renamed or deleted in the file.

    Raises:
        SettingsError: a key is there under both names.
    """
    tables = {
        name: dict(table) if isinstance(table, dict) else table for name, table in values.items()
    }
    notes: list[str] = []
    for move in moved:
        section, key = move.old.split(".")
        if not isinstance(table := tables.get(section), dict) or key not in table:
            continue
        value = table.pop(key)
        if not table:
            del tables[section]
        if move.new is None:
            notes.append(f"{move.old} has no effect since version {move.version}; delete it.")
            continue
        notes.append(f"{move.old} is called {move.new} since version {move.version}; rename it.")
        _put(tables, move, value)
    return tables, notes


def _put(tables: dict[str, Any], move: Moved, value: Any) -> None:
    assert move.new is not None
    section, key = move.new.split(".")
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        return  # not a table: the check of the whole file says so
    if key in table:
        raise SettingsError(
            f"{move.old} and its new name {move.new} are both set; delete {move.old}."
        )
    table[key] = value
