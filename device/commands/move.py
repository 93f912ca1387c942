"""`fluocount move`: from the file of a data folder into a PostgreSQL database."""

from pathlib import Path

import click

from device.config import default_settings_path, load_settings
from device.store.moving import move_counts

_SHOWN = {"counts": "counts", "users": "accounts", "studies": "studies", "reviews": "reviews"}


@click.command("move")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")
def command(config: Path | None) -> None:
    """Move all counts into the database of the settings.

    Stop the service first. History, accounts, tokens, assays, objectives, studies, reviews and the queue are copied
    once; the images stay where they are.
    """
    settings = load_settings(config or default_settings_path())
    numbers = move_counts(settings.storage)
    shown = ", ".join(f"{numbers[table]} {words}" for table, words in _SHOWN.items())
    click.echo(
        f"Moved: {shown}. The file with the counts is kept in {settings.data_dir} under another name; delete it when "
        "all is well."
    )
