"""`fluocount export`: stored counts as CSV, ROIs, label images, GeoJSON or one archive."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from device.commands.options import store_options
from device.config import Settings, default_settings_path, load_settings
from device.errors import InputError
from device.export.files import FORMATS
from device.store import CountRow, Filter, Store

_PATH = click.Path(path_type=Path)
_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])


@click.command("export")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Export all finished counts.")
@click.option("--sample", help="Export the counts of this sample.")
@click.option("--since", type=_DATE, help="Export the counts from this date or time on.")
@click.option("--until", type=_DATE, help="Export the counts before this date or time.")
@click.option("--kept", is_flag=True, help="Export the counts that are marked to be kept.")
@click.option(
    "--every-version", is_flag=True, help="With the counts that were counted again since."
)
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True,
              default=("counts",), show_default=True, help="Format; may be given several times.")  # fmt: skip
@click.option("--training", "training_file", type=_PATH, metavar="FILE",
              help="Write corrected frames as one file for fluocount-train adapt.")  # fmt: skip
@click.option(
    "--assay", help="With --training: the frames of this assay that were corrected or reviewed."
)
@click.option("--dots", is_flag=True, help="With --training: the cells' middles only, no outlines.")
@click.option("--out", "out_dir", type=_PATH, help="Folder for the files; a table can also go to the terminal.")  # fmt: skip # noqa: E501
@store_options()
def command(
    ids: tuple[str, ...], out_dir: Path | None, training_file: Path | None, **chosen: Any
) -> None:
    """Write stored counts for other programs: named by ID, by filter, or --all.

    Corrections made by hand are applied. counts, regions: one table; cells, rois (ImageJ), labels (OME-TIFF),
    geojson (QuPath): one file per count; archive: everything as a ZIP.
    """
    from device.export.files import counts_table, write_exports

    if training_file is not None:
        _write_training(training_file, ids, chosen)
        return
    if chosen["assay"] is not None or chosen["dots"]:
        raise InputError("--assay and --dots belong to --training FILE.")
    which = _filter(ids, chosen)
    store = _open(load_settings(chosen["config"] or default_settings_path()), chosen["data_dir"])
    rows = _find_done(store, which)
    if out_dir is not None:
        written, problems = write_exports(store, rows, chosen["formats"], out_dir)
        click.echo(f"{len(written)} files of {len(rows)} count(s) in {out_dir}", err=True)
        for problem in problems:
            click.echo(f"fluocount: {problem}", err=True)
        if problems:
            sys.exit(1)
    elif set(chosen["formats"]) == {"counts"}:
        sys.stdout.write(counts_table(store, rows))
    else:
        raise InputError("These formats are files; name a folder for them with --out.")


def _write_training(path: Path, ids: tuple[str, ...], chosen: dict[str, Any]) -> None:
    from device.export.training import select_training, training_parts
    from device.machine.files import open_atomic

    if any(chosen[name] for name in ("everything", "sample", "since", "until", "kept")):
        raise InputError("Choose the frames of a training file by --assay or by their ids.")
    settings = load_settings(chosen["config"] or default_settings_path())
    store = _open(settings, chosen["data_dir"])
    selected = select_training(store, chosen["assay"], ids, dots=chosen["dots"])
    try:
        with open_atomic(path) as target:
            target.writelines(training_parts(store, selected))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); check the folder."
        ) from None
    click.echo(f"{len(selected.rows)} frames of {selected.assay.name} in {path}", err=True)


def _filter(ids: tuple[str, ...], chosen: dict[str, Any]) -> Filter:
    """The selection; raises if nothing is selected, or if ids and filters are combined."""
    options = {
        "sample": chosen["sample"],
        "since_s": _seconds(chosen["since"]),
        "until_s": _seconds(chosen["until"]),
        "kept": True if chosen["kept"] else None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if ids and not given and not chosen["everything"]:
        return Filter(ids=ids)
    if ids or not (given or chosen["everything"]):
        raise InputError(
            "Choose counts by their ids, by --sample, --since, --until or --kept, or with --all."
        )
    return Filter(**given, newest=None if chosen["every_version"] else True, status="done")


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.astimezone().timestamp()


def _open(settings: Settings, data_dir: Path | None) -> Store:
    from device.store.existing import open_existing

    return open_existing(settings.storage, data_dir)


def _find_done(store: Store, which: Filter) -> list[CountRow]:
    """Oldest first; a named count that is missing or unfinished is an error, not left out."""
    for count_id in which.ids or ():
        row = store.counts.get(count_id)
        if row.status != "done":
            raise InputError(
                f"The count {count_id} is {row.status}; only finished counts can be exported."
            )
    return sorted(store.counts.search(which), key=lambda row: row.sequence)
