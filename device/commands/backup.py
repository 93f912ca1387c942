"""`fluocount backup`: settings and results in one file."""

from pathlib import Path

import click

from device.config import default_settings_path, load_settings
from device.store.backup import write_backup

_PATH = click.Path(path_type=Path)


@click.command("backup")
@click.argument("target", type=_PATH)
@click.option("--without-results", is_flag=True, help="Save settings and database only (small).")
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(target: Path, without_results: bool, config: Path | None) -> None:
    """Write settings, database, images and results to TARGET (a new .tar file).

    The service may continue counting meanwhile.
    """
    config = config or default_settings_path()
    manifest = write_backup(
        target, load_settings(config).data_dir, config, results=not without_results
    )
    size_mb = target.stat().st_size / 1e6
    click.echo(f"{target}: {manifest.counts} counts, {size_mb:.1f} MB")
