"""`fluocount watch`: count every new image that appears in a folder."""

import logging
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from device.config import Settings, default_settings_path, load_settings
from device.counting.records import CountSettings

_PATH = click.Path(path_type=Path)


@click.command("watch")
@click.argument("folder", type=_PATH)
@click.option("--out", "out_dir", type=_PATH, help="Results go here (default: FOLDER/fluocount).")
@click.option("--once", is_flag=True, help="Count what is there, then end.")
@click.option("--recursive", is_flag=True, help="Sub-folders too.")
@click.option("--recount", is_flag=True, help="Count images again that were counted before.")
@click.option("--retry-failed", is_flag=True, help="Try again what could not be counted before.")
@click.option(
    "--poll", is_flag=True, help="Look at the folder regularly; a network share always is."
)
@click.option("--settle", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="A file is complete when unchanged for this long.")  # fmt: skip
@click.option("--threshold", type=float, help="Cut-off, 0 to 1 (default: the model card's).")
@click.option(
    "--cell-diameter", type=float, metavar="PX", help="How large a cell is in the images."
)
@click.option(
    "--min-area", type=float, metavar="PX", help="Smallest object that counts, in pixels."
)
@click.option("--exclude-border", is_flag=True, help="Leave out cells touching the image's edge.")
@click.option("--model", help="Name of a shipped model or path of a .tflite.")
@click.option(
    "--data-dir", type=_PATH, help="Where images and counts are kept (default: settings')."
)
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(folder: Path, out_dir: Path | None, once: bool, **chosen: Any) -> None:
    """Count every image that appears in FOLDER, and those that are there already."""
    from device.errors import InputError
    from device.watch import make_plan
    from device.watch.standalone import watch_folder

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    settings = _settings(chosen["config"], chosen["data_dir"])
    plan = make_plan(
        settings,
        folder,
        out_dir=out_dir,
        poll=chosen["poll"],
        recursive=chosen["recursive"],
        settle_s=chosen["settle"],
        model=chosen["model"],
        count_settings=CountSettings(
            threshold=chosen["threshold"],
            cell_diameter_px=chosen["cell_diameter"],
            min_area_px=chosen["min_area"],
            exclude_border=chosen["exclude_border"],
        ),
        recount=chosen["recount"],
        retry_failed=chosen["retry_failed"],
    )
    if not plan.folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; name the folder that the microscope writes its images to."
        )
    if not once:
        click.echo(f"Watching {plan.folder}; results go to {plan.out_dir}.", err=True)
    state = watch_folder(settings, plan, once=once, say=_say)
    click.echo(f"{state.counted} counted, {state.failed} not; see {plan.out_dir}.", err=True)
    if once and state.failed:
        sys.exit(1)


def _settings(config: Path | None, data_dir: Path | None) -> Settings:
    settings = load_settings(config or default_settings_path())
    if data_dir is None:
        return settings
    storage = msgspec.structs.replace(settings.storage, data_dir=str(data_dir))
    return msgspec.structs.replace(settings, storage=storage)


def _say(sentence: str) -> None:
    click.echo(sentence)
    sys.stdout.flush()
