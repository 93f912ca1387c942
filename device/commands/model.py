"""`fluocount model`: the networks of this instrument."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands.options import settings_with_models, store_options
from device.config import Settings

if TYPE_CHECKING:
    from device.store import Store

_PATH = click.Path(path_type=Path)


@click.group("model", context_settings={"help_option_names": ["-h", "--help"]})
@store_options("Where the models are installed")
@click.pass_context
def command(context: click.Context, data_dir: Path | None, config: Path | None) -> None:
    """Models: networks that you trained yourself are used by name beside those that come with fluocount."""
    context.obj = settings_with_models(config, data_dir)


@command.command("install")
@click.argument("file", type=_PATH)
@click.pass_obj
def install(settings: Settings, file: Path) -> None:
    """Install FILE: the .zip that `fluocount-train adapt` wrote, or a .tflite with its card beside it.

    Its hash and card are checked, and it must count here what it counted where it was made.
    """
    from device.jobs.models import installed_folder
    from device.models.installing import install as install_model
    from device.models.package import read_package

    package = read_package(file)
    counted = install_model(package, installed_folder(settings))
    frame = "its own" if counted.frame == "own" else "a synthetic"
    click.echo(
        f"{package.card.name} {package.card.version} is installed: {counted.count} cells in {frame} frame of "
        f"{counted.expected}"
    )


@command.command("list")
@click.pass_obj
def list_all(settings: Settings) -> None:
    """Name, purpose and use of every model."""
    from device.jobs.models import list_models

    for one in list_models(_open(settings), settings):
        origin = (
            "comes with fluocount" if one.shipped else f"installed, trained on {one.trained_on}"
        )
        click.echo(f"{one.name} {one.version} ({origin})")
        click.echo(f"    {one.trained_for}")
        if one.used_by:
            click.echo(f"    used by {', '.join(one.used_by)}")


@command.command("remove")
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove an installed model that nothing uses; counts that it made stay, but their threshold cannot be changed."""
    from device.jobs.models import remove_model

    remove_model(name, _open(settings), settings)
    click.echo(f"{name} is removed")


def _open(settings: Settings) -> "Store":
    from device.store import open_store

    return open_store(settings.storage)
