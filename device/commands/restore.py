"""`fluocount restore`: restore a backup."""

from pathlib import Path

import click

from device.config import default_settings_path, load_settings
from device.store.restore import restore_backup

_PATH = click.Path(path_type=Path)


@click.command("restore")
@click.argument("archive", type=_PATH)
@click.option(
    "--set-aside",
    is_flag=True,
    help="Restore even if the data folder has counts that are not in ARCHIVE.",
)
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(archive: Path, set_aside: bool, config: Path | None) -> None:
    """Put the contents of ARCHIVE into the data folder. The service must be stopped.

    Existing data moves to a folder before-restore-...; nothing is deleted.
    """
    config = config or default_settings_path()
    data_dir = load_settings(config if config and config.exists() else None).data_dir
    done = restore_backup(archive, data_dir, config, set_aside=set_aside)
    click.echo(f"{done.manifest.counts} counts restored to {data_dir}")
    if done.lacking:
        click.echo(f"{done.lacking} of them have no image in this backup", err=True)
    if done.set_aside is not None:
        click.echo(f"The previous data is in {done.set_aside}")
    if done.settings_beside is not None:
        click.echo(
            f"Your settings are unchanged; the settings of the backup are in {done.settings_beside}"
        )
