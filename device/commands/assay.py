"""`fluocount assay`: the assays of this instrument."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from device.assays.library import encode_assay, read_assay, stock
from device.commands.options import settings_with_models, store_options
from device.errors import InputError, StorageError

if TYPE_CHECKING:
    from device.store import Store

_PATH = click.Path(path_type=Path)
_VERSION = click.option("--version", type=click.IntRange(min=0), help="Not the newest one.")


@click.group("assay", context_settings={"help_option_names": ["-h", "--help"]})
@store_options()
@click.pass_context
def command(context: click.Context, data_dir: Path | None, config: Path | None) -> None:
    """Assays: what to count, at which scale, how strict. Named by --assay when you count."""
    context.obj = settings_with_models(config, data_dir)


def _open(context: click.Context) -> "Store":
    """The store of the settings with the shipped assays in it; made if it is missing."""
    from device.store import open_store

    settings = context.obj
    store = open_store(settings.storage)
    stock(store, settings)
    return store


@command.command("list")
@click.pass_context
def list_all(context: click.Context) -> None:
    """Name, version, model and purpose of every assay."""
    for assay in _open(context).assays.newest():
        taught = "" if assay.taught is None else f", taught by {assay.taught.frames} frames"
        click.echo(f"{assay.name} (version {assay.version}, model {assay.model}{taught})")
        click.echo(f"    {assay.about}")


@command.command("versions")
@click.argument("name")
@click.pass_context
def versions(context: click.Context, name: str) -> None:
    """The versions of an assay, newest first."""
    from device.machine.clock import local_time

    store = _open(context)
    store.assays.get(name)
    for one in store.assays.versions(name):
        taught = f", taught by {one.taught_frames} frames" if one.taught_frames else ""
        click.echo(f"{one.version:4d}  {local_time(one.created_s, None)}  {one.who}{taught}")


@command.command("export")
@click.argument("name")
@_VERSION
@click.option("--out", type=_PATH, help="File to write (default: the terminal).")
@click.pass_context
def export(context: click.Context, name: str, version: int | None, out: Path | None) -> None:
    """Write an assay as a JSON file that another instrument can import."""
    from device.machine.files import write_atomic

    data = encode_assay(_open(context).assays.get(name, version))
    if out is None:
        click.echo(data.decode(), nl=False)
        return
    try:
        write_atomic(out, data)
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written ({error.strerror}); check the folder."
        ) from None


@command.command("import")
@click.argument("file", type=_PATH)
@click.option("--name", help="Save it under another name.")
@click.pass_context
def import_file(context: click.Context, file: Path, name: str | None) -> None:
    """Save an exported assay as the newest version of its name."""
    from device.models.card import find_model

    assay = read_assay(file)
    if name is not None:
        try:
            assay = msgspec.convert(msgspec.structs.asdict(assay) | {"name": name}, type(assay))
        except msgspec.ValidationError:
            raise InputError(
                f"{name!r} cannot be the name of an assay: use letters, digits, spaces and . _ + -, at most 60."
            ) from None
    find_model(assay.model)
    saved = _open(context).assays.save(assay, "command line")
    click.echo(f"{saved.name}, version {saved.version}")


@command.command("restore")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=0))
@click.pass_context
def restore(context: click.Context, name: str, version: int) -> None:
    """Make an earlier version the newest again; counts keep the version they were made with."""
    saved = _open(context).assays.restore(name, version, "command line")
    click.echo(f"{saved.name}, version {saved.version}, is version {version} again")


@command.command("teach")
@click.argument("name")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--accept", is_flag=True, help="Save what was learnt, if it counts better.")
@click.pass_context
def teach(context: click.Context, name: str, ids: tuple[str, ...], accept: bool) -> None:
    """Refit an assay to your corrections and show what changes; saved only with --accept.

    IDs are counts that you have looked through; without them all counts of the assay that have corrections are used.
    At least five images are needed.
    """
    from device.jobs import Segmenters
    from device.jobs.relabelling import Relabeller
    from device.jobs.teaching import Teacher

    store = _open(context)
    segmenters = Segmenters(context.obj.counting)
    lesson = Teacher(store, segmenters, Relabeller(store, segmenters)).lesson(name, ids)
    click.echo(f"{'cells':>6} {'before':>7} {'after':>6}  image (after: with this image left out)")
    for frame in lesson.frames:
        mark = " *" if frame.after != frame.before else ""
        click.echo(f"{frame.cells:6d} {frame.before:7d} {frame.after:6d}  {frame.image}{mark}")
    click.echo(lesson.text)
    if lesson.proposed is None:
        return
    if not accept:
        click.echo("Nothing is saved yet; give --accept to save it.")
        return
    saved = store.assays.save(lesson.proposed, "command line")
    click.echo(f"{saved.name}, version {saved.version}")
