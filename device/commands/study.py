"""`fluocount study`: studies, from a folder of images to a report."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.options import settings_with_models, store_options
from device.commands.studyreview import add_review_commands
from device.config import Settings
from device.errors import InputError

if TYPE_CHECKING:
    from device.store import Store
    from device.studies.loading import Planned

_PATH = click.Path(path_type=Path)
_SHOWN = 20
"""Names of a folder that are shown where all of them are understood alike."""


@click.group("study", context_settings={"help_option_names": ["-h", "--help"]})
@store_options()
@click.pass_context
def command(context: click.Context, data_dir: Path | None, config: Path | None) -> None:
    """Studies: groups, subjects and slices; figures, tests and a report."""
    context.obj = settings_with_models(config, data_dir)


@contextmanager
def opened(settings: Settings) -> Iterator["Store"]:
    """The store of the settings with the shipped assays in it; made if it is missing."""
    from device.assays.library import stock
    from device.store import open_store

    with closing(open_store(settings.storage)) as store:
        stock(store, settings)
        yield store


@command.command("new")
@click.argument("name")
@click.option("--question", default="", help="What the study asks, one sentence; for the report.")
@click.option("--group", "groups", multiple=True, help="A group; the control first. Several times.")
@click.option("--assay", default="", help="Stored assay for its images.")
@click.option("--pattern", default="", help="How file names are split, e.g. '{group}_{subject}_s{slice}'.")  # fmt: skip
@click.option("--per-subject", type=click.Choice(["mean", "sum"]), default="mean", show_default=True,
              help="A subject's value is the mean or the sum of its slices.")  # fmt: skip
@click.option("--tests", type=click.Choice(["means", "ranks"]), default="means", show_default=True,
              help="Compare groups by means (Welch, mixed model) or ranks (Mann-Whitney, Kruskal-Wallis).")  # fmt: skip
@click.option("--pairing", type=click.Choice(["unsaid", "independent", "paired"]), default="unsaid",
              help="A name in several groups is the same subject (paired) or another one (independent).")  # fmt: skip
@click.option("--change", is_flag=True, help="Change a study that exists.")
@click.pass_obj
def new(settings: Settings, /, change: bool, **given: Any) -> None:
    """Set up a study."""
    from device.studies.setup import make_study

    study = make_study({name: value for name, value in given.items() if value})
    with opened(settings) as store:
        if study.assay:
            store.assays.get(study.assay)
        store.studies.save(study, new=not change)
    click.echo(f"The study {study.name} is {'changed' if change else 'set up'}.")


@command.command("list")
@click.pass_obj
def list_all(settings: Settings) -> None:
    """Name, question and number of images of every study."""
    with opened(settings) as store:
        for study in store.studies.all():
            click.echo(f"{study.name} ({len(store.studies.images(study.name))} images)")
            if study.question:
                click.echo(f"    {study.question}")


@command.command("add")
@click.argument("name")
@click.argument("folder", type=_PATH)
@click.option("--csv", "table", type=_PATH, help="Table with the columns image, group, subject.")
@click.option("--yes", is_flag=True, help="Store without asking.")
@click.option("--later", is_flag=True, help="Leave the counting to the service.")
@click.pass_obj
def add(
    settings: Settings, name: str, folder: Path, table: Path | None, yes: bool, later: bool
) -> None:
    """Show how the names in FOLDER are split; then store the images in the study and count them."""
    from device.studies.loading import plan_folder

    with opened(settings) as store:
        study = store.studies.get(name)
        planned = plan_folder(study, folder, table)
        _show(planned)
        if planned.problems:
            raise InputError(
                f"{len(planned.problems)} of {len(planned.splits)} names are not understood; nothing was stored. "
                "Rename them, change the pattern (fluocount study new --change), or give a table with --csv."
            )
        if not yes and not click.confirm(f"Store these {len(planned.splits)} images in {name}?"):
            raise InputError("Nothing was stored.")
        _count(settings, store, name, planned, later)


def _show(planned: "Planned") -> None:
    """The split of every name where something is wrong, else of enough to see the rule."""
    from tabulate import tabulate

    rows = [
        [one.name, one.place.group, one.place.subject, one.place.slice, one.place.region, one.problem]
        for one in planned.splits
    ]  # fmt: skip
    shown = rows if planned.problems else rows[:_SHOWN]
    click.echo(tabulate(shown, ["image", "group", "subject", "slice", "region", "problem"]))
    if len(shown) < len(rows):
        click.echo(f"... and {len(rows) - len(shown)} more")
    groups: dict[str, set[str]] = {}
    for one in planned.splits:
        groups.setdefault(one.place.group, set()).add(one.place.subject)
    for group, subjects in groups.items():
        click.echo(f"{group or '(no group)'}: {len(subjects)} subjects")
    for sentence in planned.passed:
        click.echo(f"passed over: {sentence}", err=True)


def _count(settings: Settings, store: "Store", name: str, planned: "Planned", later: bool) -> None:
    from device import sandbox
    from device.jobs import Segmenters, Worker
    from device.jobs.intake import Intake
    from device.machine import system
    from device.models.estimate import PROGRAM_MB
    from device.sandbox.room import memory_mb
    from device.studies.loading import load, wait_until_counted

    segmenters = Segmenters(settings.counting)
    memory_mb.resize(settings.counting.max_memory_mb - PROGRAM_MB)
    sandbox.configure(1)
    worker = Worker(store, segmenters, conditions=system.conditions)
    intake = Intake(store, segmenters, settings.counting.model, settings.counting.max_memory_mb)
    if not later:
        worker.start()
    try:
        loaded = load(store, intake, store.studies.get(name), planned)
        for problem in loaded.problems:
            click.echo(f"fluocount: {problem}", err=True)
        if later:
            click.echo(f"{len(loaded.rows)} images are in the queue.", err=True)
            return
        with click.progressbar(length=len(loaded.rows), label="Counting") as bar:
            done = wait_until_counted(store, loaded.rows, lambda now, _: bar.update(now - bar.pos))
    finally:
        worker.stop()
    failed = [row for row in done if row.status != "done"]
    for row in failed:
        click.echo(f"fluocount: {row.image}: {row.error or row.status}", err=True)
    click.echo(f"{len(done) - len(failed)} images counted.", err=True)
    if failed or loaded.problems:
        raise InputError(f"{len(failed) + len(loaded.problems)} images have no count; see above.")


@command.command("assign")
@click.argument("name")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--group", help="Group of the counts.")
@click.option("--subject", help="Subject of the counts.")
@click.option("--slice", "slice_name", default="", help="Slice (for a single count).")
@click.option("--region", default="", help="Region.")
@click.option("--csv", "table", type=_PATH, help="Table: image (id or name), group, subject.")
@click.option("--remove", is_flag=True, help="Take the counts out of the study.")
@click.pass_obj
def assign(settings: Settings, /, name: str, ids: tuple[str, ...], **given: Any) -> None:
    """Put stored counts into a study by hand or from a table, or take them out."""
    from device.store.studies import Place
    from device.studies.assigning import assign_table

    with opened(settings) as store:
        if given["remove"]:
            store.studies.take_out(name, ids)
            click.echo(f"{len(ids)} counts taken out of {name}.")
            return
        if given["table"] is not None:
            number = assign_table(store, name, given["table"])
            click.echo(f"{number} counts are in {name}.")
            return
        if not (ids and given["group"] and given["subject"]):
            raise InputError(
                "Name the counts by their ids, and --group and --subject; or give a table with --csv."
            )
        if given["slice_name"] and len(ids) > 1:
            raise InputError("--slice is for a single count; several counts cannot be one slice.")
        place = Place(
            group=given["group"], subject=given["subject"], slice=given["slice_name"], region=given["region"]
        )  # fmt: skip
        store.studies.assign(name, dict.fromkeys(ids, place))
        click.echo(f"{len(ids)} counts are in {name}.")


@command.command("remove")
@click.argument("name")
@click.confirmation_option(prompt="Remove the study? Its counts stay.")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove a study without a review; its counts stay."""
    with opened(settings) as store:
        store.studies.remove(name)
    click.echo(f"The study {name} is removed; its counts are still there.")


@command.command("report")
@click.argument("name")
@click.option("--out", "out_dir", type=_PATH, required=True, help="Folder for report, figure and tables.")  # fmt: skip
@click.option("--density", is_flag=True, help="Cells per mm² instead of cells; needs the scale.")
@click.pass_obj
def report(settings: Settings, name: str, out_dir: Path, density: bool) -> None:
    """Write the report: one HTML file, the figure as SVG and PNG, tables for other programs."""
    from device.studies.report import write_report

    with opened(settings) as store:
        for path in write_report(store, name, out_dir, density=density):
            click.echo(str(path))


@command.command("export")
@click.argument("name")
@click.option("--out", "out_dir", type=_PATH, required=True, help="A new folder.")
@click.option("--format", "kind", type=click.Choice(["crate", "coco", "qupath"]), default="crate",
              show_default=True, help="crate: everything, as an RO-Crate that `fluocount open` reads.")  # fmt: skip
@click.option("--licence", help="Licence of the data, its name or address; for the crate.")
@click.pass_obj
def export(settings: Settings, name: str, out_dir: Path, kind: str, licence: str | None) -> None:
    """Write the whole study NAME for another laboratory or program."""
    from device.studies.coco import write_coco, write_qupath
    from device.studies.crate import NO_LICENCE, write_crate

    problems: list[str] = []
    with opened(settings) as store:
        if kind == "crate":
            files = write_crate(store, name, out_dir, licence or NO_LICENCE)
            click.echo(f"{len(files)} files in {out_dir}", err=True)
        else:
            write = write_coco if kind == "coco" else write_qupath
            problems = write(store, name, out_dir)
    for problem in problems:
        click.echo(f"fluocount: {problem}", err=True)
    if problems:
        raise InputError(f"{len(problems)} images are not in {out_dir}; see above.")


add_review_commands(command, opened)
