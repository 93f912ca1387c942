"""`fluocount recount`: stored images again, with another assay or cell diameter."""

import sys
from contextlib import closing
from pathlib import Path

import click

from device.commands.options import settings_with_models, store_options
from device.errors import InputError


@click.command("recount")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--sample", help="Count every image of this sample again.")
@click.option("--assay", metavar="NAME", help="With this stored assay.")
@click.option("--objective", metavar="NAME", help="Taken with this objective of the list.")
@click.option(
    "--cell-diameter",
    type=click.FloatRange(2, 1000),
    metavar="PX",
    help="With this cell diameter, in pixels.",
)
@store_options()
def command(
    ids: tuple[str, ...],
    sample: str | None,
    assay: str | None,
    objective: str | None,
    cell_diameter: float | None,
    data_dir: Path | None,
    config: Path | None,
) -> None:
    """Count stored images again; the new counts stand beside the old ones and keep their corrections.

    The service counts them while it runs, or when it starts next.
    """
    from device.assays.library import stock
    from device.jobs import Segmenters
    from device.jobs.intake import Intake
    from device.jobs.recounting import Again, Recounter
    from device.store.existing import open_existing

    if bool(ids) == (sample is not None):
        raise InputError("Name either counts by their ids, or a sample with --sample.")
    settings = settings_with_models(config, data_dir)
    with closing(open_existing(settings.storage)) as store:
        stock(store, settings)
        counting = settings.counting
        intake = Intake(store, Segmenters(counting), counting.model, counting.max_memory_mb)
        recounter = Recounter(store, intake)
        rows = [store.counts.get(one) for one in ids] if ids else recounter.of_sample(sample or "")
        again = Again(assay=assay, objective=objective, cell_diameter_px=cell_diameter)
        done = recounter.recount(rows, again)
        for problem in done.problems:
            click.echo(f"fluocount: {problem}", err=True)
        for row in done.accepted:
            click.echo(f"{row.id}  {row.image}")
    click.echo(f"{len(done.accepted)} image(s) in the queue of {store.data_dir}", err=True)
    if done.problems:
        sys.exit(1)
