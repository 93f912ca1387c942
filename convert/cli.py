"""The `fluocount-convert` command."""

import sys
from pathlib import Path

import click

from device.errors import FluocountError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Turn a trained run into NAME.tflite and its card NAME.json, or compare the two networks."""


DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the images; default $FLUOCOUNT_DATA."
)
FOLDS = click.option(
    "--fold", "folds", multiple=True, type=int, help="Only these folds; may be repeated."
)
RUN = click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))


@cli.command()
@RUN
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Default: RUN/final.")
@DATA
def model(run: Path, folder: Path | None, data: Path | None) -> None:
    """Convert RUN/final (made by `fluocount-train fit`)."""
    from convert.convert import convert_run
    from trainer.fitting.workflow import data_folder, open_training

    training = open_training(run, data or data_folder(), click.echo)
    path = convert_run(training, folder or run / "final")
    click.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB) and {path.with_suffix('.json').name}")


@cli.command()
@RUN
@DATA
def check(run: Path, data: Path | None) -> None:
    """Float against int8 on the frames of RUN: F1, counts, largest probability difference."""
    from convert.check import as_table
    from convert.convert import check_run
    from trainer.fitting.workflow import data_folder, open_training

    click.echo(as_table(check_run(open_training(run, data or data_folder(), click.echo))))


@cli.command()
@RUN
@FOLDS
@DATA
def folds(run: Path, folds: tuple[int, ...], data: Path | None) -> None:
    """Convert every fold's network and score each frame with the int8 model that has not seen it."""
    from convert.convert import crossvalidate_integer
    from trainer.fitting.workflow import data_folder, open_training

    training = open_training(run, data or data_folder(), click.echo)
    click.echo(crossvalidate_integer(training, folds))


@cli.command()
@click.argument("recipe")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run; default runs/NAME."
)
@FOLDS
@DATA
def release(recipe: str, out: Path | None, folds: tuple[int, ...], data: Path | None) -> None:
    """Train, cross-validate, convert and ship RECIPE as a model of this repository; resumes."""
    from convert.release import release as release_run
    from trainer.fitting.runs import load_run
    from trainer.fitting.workflow import Training, data_folder

    run = load_run(recipe)
    training = Training(run, out or Path("runs") / run.name, data or data_folder(), click.echo)
    click.echo(release_run(training, folds))


@cli.command()
@click.argument("model")
def engines(model: str) -> None:
    """Processor time of a tile in LiteRT and in ONNX Runtime; see convert/engines.py for what it needs."""
    from convert.engines import SIDE_PX, compare_engines

    costs = compare_engines(model)
    click.echo(f"{model}, one tile of {SIDE_PX} x {SIDE_PX} px on one core, processor time:")
    for cost in costs:
        ratio = costs[0].seconds / cost.seconds
        click.echo(
            f"{cost.engine:22} {cost.seconds:.3f} s   {ratio:.2f} times as fast as {costs[0].engine}"
        )


def main() -> None:
    """Entry point: `fluocount-convert RUN` is short for `fluocount-convert model RUN`."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] not in {*cli.commands, "-h", "--help"}:
        arguments = ["model", *arguments]
    try:
        cli(arguments)
    except FluocountError as error:
        click.echo(f"fluocount-convert: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
