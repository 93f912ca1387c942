"""`fluocount open`: the study of another laboratory."""

from pathlib import Path

import click

from device.commands.options import settings_with_models, store_options

_PATH = click.Path(path_type=Path)


@click.command("open")
@click.argument("folder", type=_PATH)
@store_options("Where to put the counts")
def command(folder: Path, data_dir: Path | None, config: Path | None) -> None:
    """Take the study in FOLDER, as `fluocount study export` wrote it, with its counts and reviews.

    Every file is checked before anything is stored.
    """
    from device.commands.study import opened
    from device.studies.opening import open_study

    with opened(settings_with_models(config, data_dir)) as store:
        found = open_study(store, folder)
    click.echo(f"{found.study}: {found.counts} counts, {found.new} of them new.")
    for fault in found.faults:
        click.echo(f"fluocount: {fault}", err=True)
