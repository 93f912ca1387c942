"""Options that several commands share: how cells are counted, and which picture of a file, in which range."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from device.config import Settings, default_settings_path, load_settings
from device.counting.reading import Reading, merge
from device.counting.records import CountSettings
from device.errors import InputError
from device.models.card import use_installed

F = TypeVar("F", bound=Callable[..., Any])

_AXES = ("z", "t", "scene", "page")


def store_options(where: str = "Where the counts are stored") -> Callable[[F], F]:
    """Add --data-dir and --config.

    Args:
        where: what the data folder is to this command.
    """
    path = click.Path(path_type=Path)
    options = (
        click.option("--data-dir", type=path, help=f"{where} (default: from the settings)."),
        click.option("--config", type=path, help="Settings file (TOML)."),
    )
    return lambda command: _with(options, command)


def assay_option(command: F) -> F:
    """Add --assay."""
    return click.option(
        "--assay",
        metavar="NAME|FILE",
        help="What to count and how: a stored or shipped assay, or an exported .json (default: from the settings).",
    )(command)


def objective_option(command: F) -> F:
    """Add --objective."""
    return click.option(
        "--objective",
        metavar="NAME",
        help="Objective of the instrument's list; says how large a pixel is where the file does not.",
    )(command)


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
    return _with(options, command)


class _PixelsOrAuto(click.ParamType[float | None]):
    """A length in pixels, or `auto`, which is None: it is estimated."""

    name = "PX|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """Read what was typed."""
        if str(value).strip().lower() == "auto":
            return None
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of pixels nor auto.", param, ctx)


def settings_options(command: F) -> F:
    """Add --threshold, --cell-diameter, --min-area and --exclude-border; `take_settings` takes them out."""
    options = (
        click.option(
            "--threshold", type=float, help="Threshold, 0 to 1 (default: from the model)."
        ),
        click.option(
            "--cell-diameter",
            type=_PixelsOrAuto(),
            default="auto",
            help="Typical cell diameter in the images, in pixels; auto (default) estimates it in each image.",
        ),
        click.option(
            "--min-area",
            type=float,
            metavar="PX",
            help="Area of the smallest cell, in square pixels.",
        ),
        click.option(
            "--exclude-border", is_flag=True, help="Do not count cells that touch the edge."
        ),
    )
    return _with(options, command)


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    """In the help they stand in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def settings_with_models(config: Path | None, data_dir: Path | None = None) -> Settings:
    """The settings, with another data folder where one is named; its installed models are then found by name.

    Raises:
        SettingsError: the settings file cannot be used.
    """
    settings = load_settings(config or default_settings_path())
    if data_dir is not None:
        storage = msgspec.structs.replace(settings.storage, data_dir=str(data_dir))
        settings = msgspec.structs.replace(settings, storage=storage)
    use_installed(settings.data_dir)
    return settings


def take_settings(chosen: dict[str, Any], reading: Reading) -> CountSettings:
    """The settings that the options of `settings_options` and `reading_options` ask for.

    Args:
        chosen: the command's options; these are taken out.
        reading: of the settings file.

    Raises:
        InputError: an axis given twice.
    """
    return CountSettings(
        threshold=chosen.pop("threshold"),
        cell_diameter_px=chosen.pop("cell_diameter"),
        min_area_px=chosen.pop("min_area"),
        exclude_border=chosen.pop("exclude_border") or None,
        reading=take_reading(chosen, reading),
    )


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
    return merge(default, Reading(**asked))
