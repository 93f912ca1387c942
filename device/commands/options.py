"""Options that several commands share: which picture of a file is counted, and the range of its samples."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import msgspec

from device.counting.records import Reading
from device.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

_AXES = ("z", "t", "scene", "page")


def reading_options(command: F) -> F:
    """Add --channel, --plane, --project, --full-scale and --offset; `take_reading` takes them out."""
    options = (
        click.option(
            "--channel",
            metavar="NAME|NUMBER",
            help="Which channel, where a file has several (numbers from 1).",
        ),
        click.option(
            "--plane",
            "planes",
            type=(click.Choice(_AXES), click.IntRange(min=1)),
            multiple=True,
            metavar="z|t|scene|page NUMBER",
            help="Which plane of a stack, from 1; may be given once for each axis.",
        ),
        click.option(
            "--project",
            type=click.Choice(("max", "mean", "focus")),
            help="Count the maximum or mean of a stack, or its plane most in focus.",
        ),
        click.option(
            "--full-scale",
            type=click.IntRange(1, 65535),
            metavar="N",
            help="Sample value of full light (after the offset), such as 4095 for a 12-bit camera.",
        ),
        click.option(
            "--offset",
            type=click.IntRange(0, 65534),
            metavar="N",
            help="Sample value of no light: the camera's offset.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def take_reading(chosen: dict[str, Any], default: Reading) -> Reading:
    """The reading that the options ask for, and the settings' value for the rest.

    Args:
        chosen: the command's options; those of `reading_options` are taken out.
        default: of the settings.

    Raises:
        InputError: an axis given twice.
    """
    planes: tuple[tuple[str, int], ...] = chosen.pop("planes")
    asked: dict[str, Any] = dict(planes)
    if len(asked) < len(planes):
        raise InputError("--plane was given twice for the same axis; give each axis once.")
    for name in ("channel", "project", "full_scale", "offset"):
        asked[name] = chosen.pop(name)
    return merged(default, asked)


def merged(default: Reading, asked: Mapping[str, Any]) -> Reading:
    """`default` with every value that is not None in its place."""
    given = {name: value for name, value in asked.items() if value is not None}
    return msgspec.structs.replace(default, **given)
