"""`fluocount watch`: count every new image that appears in a folder."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands.options import (
    assay_option,
    objective_option,
    reading_options,
    settings_options,
    settings_with_models,
    store_options,
    take_settings,
)
from device.counting.reading import AS_THE_FILE_SAYS
from device.counting.records import CountSettings, with_assay

if TYPE_CHECKING:
    from device.watch import WatchPlan

_PATH = click.Path(path_type=Path)


@click.command("watch")
@click.argument("folder", type=_PATH)
@click.option(
    "--out", "out_dir", type=_PATH, help="Folder for the results (default: FOLDER/fluocount)."
)
@click.option("--once", is_flag=True, help="Count the images that are there, then end.")
@click.option("--recursive", is_flag=True, help="Include sub-folders.")
@click.option(
    "--recount", is_flag=True, help="Count images again even if they were counted before."
)
@click.option(
    "--retry-failed", is_flag=True, help="Try images again that could not be counted before."
)
@click.option(
    "--poll", is_flag=True, help="Read the folder regularly (always done for network shares)."
)
@click.option("--settle", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="A file counts as complete when it has not changed for this long.")  # fmt: skip
@click.option("--study", help="Study that the images belong to; its pattern splits their names.")
@assay_option
@objective_option
@settings_options
@reading_options
@click.option("--model", help="Name of a shipped model or path of a .tflite.")
@store_options("Where images and counts are stored")
def command(folder: Path, out_dir: Path | None, once: bool, **chosen: Any) -> None:
    """Count the images in FOLDER and every new image that appears there."""
    from device.errors import InputError
    from device.watch import make_plan
    from device.watch.standalone import watch_folder

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    settings = settings_with_models(chosen["config"], chosen["data_dir"])
    plan = _with_options(make_plan(settings, folder, out_dir), chosen)
    if not plan.folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; name the folder that the microscope writes its images to."
        )
    if not os.access(plan.folder, os.R_OK | os.X_OK):
        raise InputError(f"The files in {folder} cannot be listed; check its permissions.")
    if not once:
        click.echo(f"Watching {plan.folder}; results go to {plan.out_dir}.", err=True)
    state = watch_folder(settings, plan, once=once, say=_say)
    click.echo(
        f"{state.counted} counted, {state.failed} not counted; see {plan.out_dir}.", err=True
    )
    if once and state.failed:
        sys.exit(1)


def _with_options(plan: "WatchPlan", chosen: dict[str, Any]) -> "WatchPlan":
    """Command-line options override the settings."""
    assay: str | None = chosen["assay"]
    return replace(
        plan,
        poll=plan.poll or chosen["poll"],
        recursive=plan.recursive or chosen["recursive"],
        settle_s=chosen["settle"] or plan.settle_s,
        model=chosen["model"] or plan.model,
        settings=_with_file(take_settings(chosen, AS_THE_FILE_SAYS), assay),
        assay=None if assay is not None and assay.endswith(".json") else assay,
        objective=chosen["objective"],
        study=chosen["study"],
        recount=chosen["recount"],
        retry_failed=chosen["retry_failed"],
    )


def _with_file(settings: CountSettings, assay: str | None) -> CountSettings:
    """An assay from a file goes with every count; a stored one is looked up at every image, for its newest version."""
    if assay is None or not assay.endswith(".json"):
        return settings
    from device.assays.library import read_assay

    return with_assay(settings, read_assay(Path(assay)))


def _say(sentence: str) -> None:
    click.echo(sentence)
    sys.stdout.flush()
