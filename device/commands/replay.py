"""`fluocount replay`: count a stored image again and report what differs."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from device.commands.options import settings_with_models, store_options
from device.config import Settings
from device.errors import InputError

if TYPE_CHECKING:
    from device.batch.replay import Past, Replay
    from device.jobs import Segmenters

_PATH = click.Path(path_type=Path)


@click.command("replay")
@click.argument("result", metavar="RESULT")
@click.option(
    "--image", type=_PATH, help="The image, or its folder, if it is no longer where it was."
)
@click.option("--model", help="Use another model: name or path of a .tflite.")
@click.option("--threshold", type=float, help="Use another threshold, 0 to 1.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object (a line for each result of a folder).",
)
@store_options()
def command(result: str, image: Path | None, as_json: bool, **chosen: Any) -> None:
    """Count RESULT again: the id of a stored count, the path of a result.json, or a folder of results.

    Prints "same", or what differs: image, model, settings, software, outcome. The exit status is 0
    when image, model, settings and outcome are the same (of all results of a folder), else 1.
    """
    from device.batch.replay import replay
    from device.jobs import Segmenters

    settings = settings_with_models(chosen["config"], chosen["data_dir"])
    if Path(result).is_dir():
        if not _replay_folder(
            Path(result), image, Segmenters(settings.counting), chosen | {"as_json": as_json}
        ):
            sys.exit(1)
        return
    past = _past(result, image, settings)
    past = _with_threshold(past, chosen["threshold"])
    segmenter = Segmenters(settings.counting).get(chosen["model"] or past.model)
    outcome = replay(past, segmenter)
    if as_json:
        click.echo(_as_json(outcome))
    else:
        click.echo(f"same: {outcome.count_now} cells" if outcome.same else "different:")
        for difference in outcome.differences:
            click.echo(f"  {difference.what}: {difference.text}")
    if not outcome.same:
        sys.exit(1)


def _with_threshold(past: "Past", threshold: float | None) -> "Past":
    if threshold is None:
        return past
    return replace(past, asked=msgspec.structs.replace(past.asked, threshold=threshold))


def _replay_folder(
    folder: Path, images: Path | None, segmenters: "Segmenters", chosen: dict[str, Any]
) -> bool:
    """Count every result of a folder again, a line for each; returns whether all are the same."""
    from device.batch.replay import past_of_file, replay, results_in

    same = different = 0
    for path in results_in(folder):
        try:
            past = _with_threshold(past_of_file(path, images), chosen["threshold"])
            outcome = replay(past, segmenters.get(chosen["model"] or past.model))
        except InputError as error:
            different += 1
            click.echo(f"             {path.name}  not compared: {error}", err=chosen["as_json"])
            continue
        same, different = same + outcome.same, different + (not outcome.same)
        if chosen["as_json"]:
            click.echo(_as_json(outcome, result=str(path)))
            continue
        told = [one for one in outcome.differences if one.what != "software"]
        words = "; ".join(f"{one.what}: {one.text}" for one in told) or "same"
        click.echo(f"{outcome.count_then:6d} {outcome.count_now:6d}  {past.result.image}  {words}")
    if not chosen["as_json"]:
        click.echo(f"\n{same} of {same + different} results are the same (cells then, cells now).")
    return different == 0


def _as_json(outcome: "Replay", **more: str) -> bytes:
    return msgspec.json.encode(more | msgspec.structs.asdict(outcome) | {"same": outcome.same})


def _past(result: str, image: Path | None, settings: Settings) -> "Past":
    """Read RESULT as a path if the file exists or ends in .json, else as an id."""
    from device.batch.replay import past_of_count, past_of_file
    from device.store.existing import open_existing

    path = Path(result)
    if path.is_file() or path.suffix == ".json":
        return past_of_file(path, image)
    return past_of_count(open_existing(settings.storage), result)
