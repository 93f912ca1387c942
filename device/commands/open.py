"""`fluocount open`: the study of another laboratory."""

from pathlib import Path

import click
import msgspec

from device.config import default_settings_path, load_settings

_PATH = click.Path(path_type=Path)


@click.command("open")
@click.argument("folder", type=_PATH)
@click.option(
    "--data-dir", type=_PATH, help="Where to put the counts (default: from the settings)."
)
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(folder: Path, data_dir: Path | None, config: Path | None) -> None:
    """Take the study in FOLDER, as `fluocount study export` wrote it, with its counts and reviews.

    Every file is checked before anything is stored.
    """
    from device.commands.study import opened
    from device.studies.opening import open_study

    settings = load_settings(config or default_settings_path())
    if data_dir is not None:
        storage = msgspec.structs.replace(settings.storage, data_dir=str(data_dir))
        settings = msgspec.structs.replace(settings, storage=storage)
    with opened(settings) as store:
        found = open_study(store, folder)
    click.echo(f"{found.study}: {found.counts} counts, {found.new} of them new.")
    for fault in found.faults:
        click.echo(f"fluocount: {fault}", err=True)
