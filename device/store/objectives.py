"""The objectives of the microscope: a name and the size of a pixel. Assays that name one follow it."""

import msgspec

from device.counting.assay import MAX_OBJECTIVE_CHARS, Assay, Objective
from device.errors import ConflictError, InputError, NotFoundError
from device.machine import clock
from device.store.assays import add_version, listed_objective, newest_assays
from device.store.protocols import Connection, Database


def usable_name(text: str) -> str:
    """A name that a person can read and type.

    Raises:
        InputError: it is empty, too long, or has signs that cannot be seen.
    """
    name = " ".join(text.split())
    if not 0 < len(name) <= MAX_OBJECTIVE_CHARS or not name.isprintable():
        raise InputError(
            f"An objective needs a name of at most {MAX_OBJECTIVE_CHARS} letters, such as '20x/0.75'; not {text!r}."
        )
    return name


class StoredObjective(msgspec.Struct, frozen=True, kw_only=True):
    """An objective of the list: who measured it and when (seconds since 1970, UTC), and the assays that name it."""

    name: str
    pixel_size_um: float
    who: str
    created_s: float
    used_by: tuple[str, ...]


class Objectives:
    """The table of objectives. Safe to use from any thread and process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[StoredObjective]:
        """Every objective, the coarsest pixels first.

        Raises:
            DamagedError: a stored assay is none.
        """
        connection = self._database.connection()
        assays = newest_assays(connection)
        found = connection.execute("SELECT * FROM objectives ORDER BY pixel_size_um DESC, name")
        return [
            StoredObjective(
                name=row["name"],
                pixel_size_um=row["pixel_size_um"],
                who=row["who"],
                created_s=row["created_s"],
                used_by=tuple(assay.name for assay in _naming(assays, row["name"])),
            )
            for row in found
        ]

    def find(self, name: str) -> Objective | None:
        """The objective of that name, whatever its capitals; None where there is none."""
        return listed_objective(self._database.connection(), name)

    def get(self, name: str) -> Objective:
        """As `find`.

        Raises:
            NotFoundError: there is none.
        """
        return self._get(self._database.connection(), name)

    def save(self, objective: Objective, who: str, *, new: bool = False) -> list[Assay]:
        """Add one, or measure it again; returns the assays that follow, in their new versions.

        Args:
            objective: what it is now.
            who: measured it.
            new: one of that name is not changed.

        Raises:
            ConflictError: there is one of that name, and a new one was meant.
        """
        with self._database.transaction() as connection:
            known = listed_objective(connection, objective.name)
            if known is not None and new:
                raise ConflictError(
                    f"There is an objective {known.name!r} already, with {known.pixel_size_um:.3g} µm per pixel; "
                    "change that one, or choose another name."
                )
            if known is not None:
                objective = msgspec.structs.replace(objective, name=known.name)
            connection.execute(
                "INSERT INTO objectives (name, pixel_size_um, who, created_s) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET pixel_size_um = excluded.pixel_size_um, who = excluded.who, "
                "created_s = excluded.created_s",
                (objective.name, objective.pixel_size_um, who, clock.now_s()),
            )
            return _follow(connection, objective.name, objective, who)

    def rename(self, name: str, new_name: str, who: str) -> list[Assay]:
        """Give one another name; returns the assays that follow, in their new versions.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: the new name is taken.
        """
        with self._database.transaction() as connection:
            known = self._get(connection, name)
            taken = listed_objective(connection, new_name)
            if taken is not None and taken.name != known.name:
                raise ConflictError(
                    f"There is an objective {taken.name!r} already; choose another name."
                )
            connection.execute(
                "UPDATE objectives SET name = ? WHERE name = ?", (new_name, known.name)
            )
            renamed = msgspec.structs.replace(known, name=new_name)
            return _follow(connection, known.name, renamed, who)

    def remove(self, name: str) -> None:
        """Take one off the list; results that were made with it keep its name and its pixel size.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: an assay names it.
        """
        with self._database.transaction() as connection:
            known = self._get(connection, name)
            used_by = [assay.name for assay in _naming(newest_assays(connection), known.name)]
            if used_by:
                raise ConflictError(
                    f"The objective {known.name} is used by {', '.join(used_by)}; give these assays another "
                    "objective first."
                )
            connection.execute("DELETE FROM objectives WHERE name = ?", (known.name,))

    @staticmethod
    def _get(connection: Connection, name: str) -> Objective:
        known = listed_objective(connection, name)
        if known is None:
            names = [row["name"] for row in connection.execute("SELECT name FROM objectives")]
            raise NotFoundError(
                f"There is no objective {name!r}; the list has: {', '.join(sorted(names)) or 'none'}."
            )
        return known


def _naming(assays: list[Assay], name: str) -> list[Assay]:
    return [assay for assay in assays if assay.objective.casefold() == name.casefold()]


def _follow(connection: Connection, name: str, objective: Objective, who: str) -> list[Assay]:
    """New versions of the assays that named the objective."""
    changed = []
    for assay in _naming(newest_assays(connection), name):
        now = msgspec.structs.replace(
            assay, objective=objective.name, pixel_size_um=objective.pixel_size_um
        )
        saved = add_version(connection, now, who)
        if saved != assay:
            changed.append(saved)
    return changed
