"""`fluocount replay`: count a stored image again and report what differs."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from device.config import Settings, default_settings_path, load_settings

if TYPE_CHECKING:
    from device.batch.replay import Past

_PATH = click.Path(path_type=Path)


@click.command("replay")
@click.argument("result", metavar="RESULT")
@click.option("--image", type=_PATH, help="The image, if it is no longer where it was.")
@click.option("--model", help="Use another model: name or path of a .tflite.")
@click.option("--threshold", type=float, help="Use another threshold, 0 to 1.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--data-dir", type=_PATH, help="Where the counts are stored (default: from the settings)."
)
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(result: str, image: Path | None, as_json: bool, **chosen: Any) -> None:
    """Count RESULT again: the id of a stored count, or the path of a result.json.

    Prints "same", or what differs: image, model, settings, software, outcome. The exit status is 0
    when image, model, settings and outcome are the same, else 1.
    """
    from device.batch.replay import replay
    from device.jobs import Segmenters

    settings = load_settings(chosen["config"] or default_settings_path())
    past = _past(result, image, settings, chosen["data_dir"])
    if chosen["threshold"] is not None:
        asked = msgspec.structs.replace(past.asked, threshold=chosen["threshold"])
        past = replace(past, asked=asked)
    segmenter = Segmenters(settings.counting).get(chosen["model"] or past.model)
    outcome = replay(past, segmenter)
    if as_json:
        fields = msgspec.structs.asdict(outcome) | {"same": outcome.same}
        click.echo(msgspec.json.encode(fields))
    else:
        click.echo(f"same: {outcome.count_now} cells" if outcome.same else "different:")
        for difference in outcome.differences:
            click.echo(f"  {difference.what}: {difference.text}")
    if not outcome.same:
        sys.exit(1)


def _past(result: str, image: Path | None, settings: Settings, data_dir: Path | None) -> "Past":
    """Read RESULT as a path if the file exists or ends in .json, else as an id."""
    from device.batch.replay import past_of_count, past_of_file
    from device.store.existing import open_existing

    path = Path(result)
    if path.is_file() or path.suffix == ".json":
        return past_of_file(path, image)
    return past_of_count(open_existing(settings.storage, data_dir), result)
