"""`fluocount correct`: cells that were marked in another program."""

from pathlib import Path

import click

from device.commands.options import store_options
from device.config import default_settings_path, load_settings
from device.errors import InputError

_PATH = click.Path(path_type=Path)


@click.command("correct")
@click.argument("count_id", metavar="ID")
@click.argument("file", type=_PATH)
@click.option("--who", default="command line", show_default=True, help="Who set the points.")
@store_options()
def command(
    count_id: str, file: Path, who: str, data_dir: Path | None, config: Path | None
) -> None:
    """Take the points in FILE as the cells of the stored count ID.

    Reads ImageJ and Fiji points (.roi, .zip), Cell Counter (.xml), QuPath (.geojson) and tables with columns x and y in
    pixels (.csv). Earlier corrections of this count are undone; they stay in its log.
    """
    from device.export.stored import stored_labels
    from device.imageio.points import MAX_FILE_BYTES, read_points
    from device.jobs.marking import marks_of_points
    from device.store.existing import open_existing

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}); check the file name."
        ) from None
    points = read_points(data, file.name)
    store = open_existing(load_settings(config or default_settings_path()).storage, data_dir)
    result = store.result(count_id)
    marked = marks_of_points(points, result, stored_labels(store, count_id), who)
    row = store.corrections.replace(count_id, result, marked.marks, who)
    added = sum(mark.action == "add" for mark in marked.marks)
    click.echo(
        f"{row.image}: {len(points)} points, {marked.agreed} on counted cells; {added} cells added, "
        f"{len(marked.marks) - added} removed; corrected count {row.corrected_count}"
    )
