"""`fluocount join`: the tables of several computers or shards as one."""

from pathlib import Path

import click

from device.batch.join import join_folders
from device.errors import StorageError

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("join")
@click.argument("folders", nargs=-1, required=True, type=_FOLDER, metavar="OUT...")
@click.option(
    "--out",
    "out_dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Write the tables here.",
)
def command(folders: tuple[Path, ...], out_dir: Path) -> None:
    """Join the tables of several --out folders of `fluocount count`; every image stands there once."""
    try:
        joined = join_folders(folders, out_dir)
    except OSError as error:
        raise StorageError(
            f"{error.filename or out_dir} cannot be read or written ({error.strerror}); fix that and join again."
        ) from None
    click.echo(
        f"{len(folders)} folders: {joined.counted} images counted, {joined.failed} not counted; {joined.cells} cells. "
        f"The tables are in {out_dir}."
    )
