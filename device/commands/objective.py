"""`fluocount objective`: the objectives of the microscope and what they make of a pixel."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands.options import settings_with_models, store_options
from device.counting.assay import PIXEL_SIZE_RANGE_UM, Assay, Objective

if TYPE_CHECKING:
    from device.store import Store

_BY = "command line"


@click.group("objective", context_settings={"help_option_names": ["-h", "--help"]})
@store_options()
@click.pass_context
def command(context: click.Context, data_dir: Path | None, config: Path | None) -> None:
    """Objectives: a name and how large a pixel is. Named by --objective when you count, and in an assay."""
    context.obj = settings_with_models(config, data_dir)


def _open(context: click.Context) -> "Store":
    """The store of the settings; made if it is missing."""
    from device.store import open_store

    return open_store(context.obj.storage)


@command.command("list")
@click.pass_context
def list_all(context: click.Context) -> None:
    """Name, micrometres per pixel and use of every objective."""
    for one in _open(context).objectives.all():
        use = f"  used by {', '.join(one.used_by)}" if one.used_by else ""
        click.echo(f"{one.name}  {one.pixel_size_um:.4g} µm per pixel{use}")


@command.command("set")
@click.argument("name")
@click.argument("micrometres", type=click.FloatRange(*PIXEL_SIZE_RANGE_UM))
@click.pass_context
def set_size(context: click.Context, name: str, micrometres: float) -> None:
    """Add an objective, or change how many MICROMETRES a pixel has; assays that name it follow."""
    from device.store.objectives import usable_name

    objective = Objective(name=usable_name(name), pixel_size_um=micrometres)
    _tell(_open(context).objectives.save(objective, _BY))
    click.echo(f"{objective.name} has {micrometres:.4g} µm per pixel")


@command.command("rename")
@click.argument("name")
@click.argument("new_name")
@click.pass_context
def rename(context: click.Context, name: str, new_name: str) -> None:
    """Give an objective another name; assays that name it follow."""
    from device.store.objectives import usable_name

    _tell(_open(context).objectives.rename(name, usable_name(new_name), _BY))
    click.echo(f"{name} is {usable_name(new_name)} now")


@command.command("remove")
@click.argument("name")
@click.pass_context
def remove(context: click.Context, name: str) -> None:
    """Remove an objective that no assay names; results keep what they were made with."""
    _open(context).objectives.remove(name)
    click.echo(f"{name} is removed")


def _tell(changed: list[Assay]) -> None:
    for assay in changed:
        click.echo(f"the assay {assay.name} follows in its version {assay.version}")
