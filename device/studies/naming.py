"""Group, subject, slice and region from the names of files and folders.

A pattern is a name with fields: `{group}_{subject}_s{slice}` splits `sham_m3_s04.tif`. It describes the end of the
path without the suffix; folders are parts between slashes, `{group}/{subject}/*{slice}`. `*` stands for anything.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from string import Formatter

import msgspec

from device.errors import InputError
from device.store.studies import MAX_PLACE_CHARS, Place

FIELDS = Place.__struct_fields__
EXAMPLE = "{group}_{subject}_s{slice}"
_MOST_STARS = 2
"""The time to try a name rises with its length to this power."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How a name is understood; `problem` is a sentence where it is not."""

    name: str
    place: Place = Place()
    problem: str = ""


class Splitter:
    """Splits names by a pattern.

    Args:
        pattern: with {group} and {subject}, and {slice} and {region} where names have them.

    Raises:
        InputError: an unknown field, one that comes twice, or two without anything between them.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._expression = re.compile(_expression(pattern))
        self._depth = pattern.count("/") + 1

    def __call__(self, name: str) -> Split:
        """How this name (a path with / between folders) is understood."""
        path = PurePosixPath(name)
        tail = "/".join([*path.parts[:-1], path.stem][-self._depth :])
        found = self._expression.fullmatch(tail)
        if found is None:
            return Split(name=name, problem=f"The name does not fit {self._pattern}.")
        place = {key: value.strip() for key, value in found.groupdict().items()}
        if any(len(value) > MAX_PLACE_CHARS for value in place.values()):
            return Split(name=name, problem=f"A part is longer than {MAX_PLACE_CHARS} characters.")
        return Split(name=name, place=Place(**place))


def split_names(pattern: str, names: Iterable[str]) -> list[Split]:
    """Every name with how it is understood; nothing is stored.

    Names that would be the same slice of the same subject say so.

    Raises:
        InputError: the pattern cannot be used.
    """
    split = Splitter(pattern)
    return _with_repeats([split(name) for name in names])


def _with_repeats(splits: list[Split]) -> list[Split]:
    """Two images of one slice would count it twice."""
    first: dict[Place, str] = {}
    checked = []
    for one in splits:
        same = first.setdefault(one.place, one.name)
        if not one.problem and one.place.slice and same != one.name:
            one = msgspec.structs.replace(one, problem=f"This is the same slice as {same}.")
        checked.append(one)
    return checked


def places_from_table(rows: Iterable[Mapping[str, str]]) -> dict[str, Place]:
    """Places by image from the lines of a table with the columns image, group, subject and, if known, slice, region.

    Raises:
        InputError: a column is missing, a line has no image, or an image comes twice.
    """
    places: dict[str, Place] = {}
    for number, row in enumerate(rows, start=2):
        missing = {"image", "group", "subject"} - row.keys()
        if missing:
            raise InputError(
                f"The table needs the columns image, group and subject; it lacks {', '.join(sorted(missing))}. "
                "Slice and region may follow."
            )
        image = (row["image"] or "").strip()
        if not image or image in places:
            raise InputError(
                f"Line {number} of the table {'repeats ' + image if image else 'names no image'}; every image needs "
                "one line."
            )
        values = {field: (row.get(field) or "").strip() for field in FIELDS}
        try:
            places[image] = msgspec.convert(values, Place)
        except msgspec.ValidationError:
            raise InputError(
                f"Line {number} of the table has a name of more than {MAX_PLACE_CHARS} characters; shorten it."
            ) from None
    if not places:
        raise InputError("The table has no lines; give one line per image.")
    return places


def _expression(pattern: str) -> str:
    try:
        parts = list(Formatter().parse(pattern.strip()))
    except ValueError as error:
        raise InputError(
            f"The pattern {pattern!r} cannot be read ({error}); use e.g. {EXAMPLE}."
        ) from None
    named = [field for _, field, _, _ in parts if field is not None]
    formatted = any(spec or conversion for _, _, spec, conversion in parts)
    unknown = [field for field in named if field not in FIELDS]
    enough = {"group", "subject"} <= set(named) and len(set(named)) == len(named)
    if unknown or formatted or not enough:
        raise InputError(
            f"The pattern {pattern!r} must name {{group}} and {{subject}}, may name {{slice}} and {{region}}, and each "
            f"only once; use e.g. {EXAMPLE}."
        )
    if sum(literal.count("*") for literal, *_ in parts) > _MOST_STARS:
        raise InputError(
            f"The pattern {pattern!r} has more than {_MOST_STARS} *; name the parts instead."
        )
    return _join(pattern, [(literal, field) for literal, field, *_ in parts])


def _join(pattern: str, parts: list[tuple[str, str | None]]) -> str:
    """The regular expression; a field ends where the text behind it begins: a name is split in one way or in none."""
    expression, before = "", ""
    for number, (literal, field) in enumerate(parts):
        after_field = number > 0 and parts[number - 1][1] is not None
        open_start = after_field and literal[:1] in ("", "*") and (literal or field is not None)
        if open_start or (literal.endswith("*") and field is not None):
            raise InputError(
                f"In the pattern {pattern!r} nothing stands between two fields, or between a field and *, so nobody "
                "could tell where one ends; put the character between them that the names have."
            )
        expression += "[^/]*?".join(re.escape(piece) for piece in literal.split("*"))
        before += literal
        if field == "slice":
            expression += r"(?P<slice>\d+[A-Za-z]?)"
        elif field is not None:
            following = parts[number + 1][0][:1] if number + 1 < len(parts) else ""
            closing = before[-1:] if "*" in before else ""
            barred = re.escape("".join({"/", following, closing}))
            expression += f"(?P<{field}>[^{barred}]+)"
    return expression
