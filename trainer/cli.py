"""The `fluocount-train` command; TensorFlow is loaded inside the sub-commands."""

import sys
from pathlib import Path

import click

from device.errors import FluocountError

OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the results; default runs/NAME."
)
DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the images; default $FLUOCOUNT_DATA."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train the networks that fluocount counts with. RECIPE is a shipped name or a .toml file."""


def _training(recipe: str, out: Path | None, data: Path | None):
    from trainer.runs import load_run
    from trainer.workflow import Training, data_folder

    run = load_run(recipe)
    return Training(run, out or Path("runs") / run.name, data or data_folder(), click.echo)


@cli.command()
@click.argument("recipe")
@OUT
@DATA
def fit(recipe: str, out: Path | None, data: Path | None) -> None:
    """Pre-train, fine-tune on all frames and choose the threshold; goes on where it was killed."""
    from trainer.crossvalidation import finish

    training = _training(recipe, out, data)
    card = finish(training)
    click.echo(
        f"{training.out / 'final'}: threshold {card.threshold:.2f}, {card.gmac_per_frame} GMAC per frame"
    )


@cli.command()
@click.argument("recipe")
@click.option("--fold", "folds", multiple=True, type=int, help="Only these folds; may be repeated.")
@OUT
@DATA
def crossvalidate(recipe: str, folds: tuple[int, ...], out: Path | None, data: Path | None) -> None:
    """Train every fold and score each frame with the model that has not seen it."""
    from trainer.crossvalidation import crossvalidate as run_folds

    training = _training(recipe, out, data)
    click.echo(run_folds(training, list(folds) or None))


@cli.command()
@click.argument("recipe")
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="Card that receives the section; default OUT/final/card.json.",
)
@OUT
@DATA
def calibrate(recipe: str, card: Path | None, out: Path | None, data: Path | None) -> None:
    """Fit probabilities, intervals and flags on out-of-fold maps into the card; print how honest they are."""
    from trainer.confidence import calibrate_run

    training = _training(recipe, out, data)
    click.echo(calibrate_run(training, card or training.out / "final" / "card.json"))


def main() -> None:
    """Entry point: a deliberate error becomes one sentence and exit status 1."""
    try:
        cli()
    except FluocountError as error:
        click.echo(f"fluocount-train: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
