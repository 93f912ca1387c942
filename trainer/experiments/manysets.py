"""Commands for models of many stains: sets, sizes, colours; and the options that all commands share."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.errors import SettingsError

if TYPE_CHECKING:
    from trainer.fitting.workflow import Training
    from trainer.frames.example import Example

OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the results; default runs/NAME."
)
DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the images; default $FLUOCOUNT_DATA."
)


def few_of_each(examples: list["Example"], frames: int | None) -> list["Example"]:
    """The first `frames` of each set, by name; None: all."""
    taken: dict[str, int] = {}
    few = []
    for example in sorted(examples, key=lambda own: own.name):
        taken[example.source] = taken.get(example.source, 0) + 1
        if frames is None or taken[example.source] <= frames:
            few.append(example)
    return few


def open_recipe(recipe: str, out: Path | None, data: Path | None) -> "Training":
    """The training of a recipe in its folder."""
    from trainer.fitting.runs import load_run
    from trainer.fitting.workflow import Training, data_folder

    run = load_run(recipe)
    return Training(run, out or Path("runs") / run.name, data or data_folder(), click.echo)


@click.command()
@click.argument("recipe")
@OUT
@DATA
def sets(recipe: str, out: Path | None, data: Path | None) -> None:
    """Score each set of RECIPE on the out-of-fold maps that are there: counts, intervals, flags."""
    from trainer.experiments.sets import sets_table

    click.echo(sets_table(open_recipe(recipe, out, data)))


@click.command("leave-out")
@click.argument("recipe")
@click.argument("source", metavar="SET")
@click.option("--frames", type=click.IntRange(min=1), help="At most so many of the set.")
@OUT
@DATA
def leave_out(
    recipe: str, source: str, frames: int | None, out: Path | None, data: Path | None
) -> None:
    """Train RECIPE without the set whose folder is SET, and score that set: what a stain never seen is worth."""
    from trainer.experiments.sets import table_without

    click.echo(table_without(open_recipe(recipe, out, data), source, frames))


@click.command()
@click.argument("recipe")
@click.argument("sources", metavar="SET...", nargs=-1, required=True)
@click.option(
    "--card", type=click.Path(path_type=Path, exists=True), required=True, help="Receives them."
)
@OUT
@DATA
def colours(
    recipe: str, sources: tuple[str, ...], card: Path, out: Path | None, data: Path | None
) -> None:
    """Fit the colours of a stain on the sets of RECIPE whose folders are SET into a card."""
    from trainer.confidence.colours import fit_colours
    from trainer.frames.datasets import load_source

    training = open_recipe(recipe, out, data)
    run = training.run
    examples = [
        example
        for source in run.finetune.sources
        if source.path in sources
        for example in load_source(source, training.data, run.frame_cell_diameter_px, run.seed)
    ]
    click.echo(fit_colours(examples, card))


@click.command()
@click.argument("recipe")
@click.option("--frames", type=click.IntRange(min=1), help="At most so many of each set.")
@click.option("--fold", type=click.IntRange(min=0), help="Only frames of this fold are scored.")
@click.option("--set", "only", metavar="SET", help="Only the set whose folder is SET.")
@OUT
@DATA
def classical(
    recipe: str,
    frames: int | None,
    fold: int | None,
    only: str | None,
    out: Path | None,
    data: Path | None,
) -> None:
    """Score Otsu and watershed on the held-out frames of RECIPE, tuned for each set on its other folds."""
    from trainer.scores.baseline import tuned_scores
    from trainer.scores.report import table

    training = open_recipe(recipe, out, data)
    run, fold_of = training.run, training.folds()
    wanted = {source.name for source in run.finetune.sources if only in (None, source.path)}
    examples = [own for own in training.held_out_frames() if own.source in wanted]
    if not examples:
        raise SettingsError(f"The recipe {run.name} has no set in a folder {only}.")
    scores = tuned_scores(few_of_each(examples, frames), fold_of, run.frame_cell_diameter_px)
    click.echo(table([own for own in scores if fold is None or fold_of[own.name] == fold]))


@click.command()
@click.argument("model")
@click.argument("recipe")
@click.option("--frames", type=click.IntRange(min=1), default=8, help="Of each set.")
@OUT
@DATA
def scales(model: str, recipe: str, frames: int, out: Path | None, data: Path | None) -> None:
    """Count frames of RECIPE at a quarter to four times their size with MODEL, the cell diameter left open."""
    from trainer.experiments.scoring import open_segmenter
    from trainer.scores.scales import read_at_scales, scale_table

    training, segmenter = open_recipe(recipe, out, data), open_segmenter(model)
    readings = [
        reading
        for example in few_of_each(training.held_out_frames(), frames)
        for reading in read_at_scales(example, segmenter, training.run.frame_cell_diameter_px)
    ]
    click.echo(scale_table(readings))


@click.command()
@click.argument("recipe")
@click.option(
    "--card",
    "cards",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Card that receives the reader; may be repeated.",
)
@OUT
@DATA
def diameter(recipe: str, cards: tuple[Path, ...], out: Path | None, data: Path | None) -> None:
    """Fit what estimates the cell diameter on the frames of RECIPE; print how near it comes to unseen frames."""
    from trainer.fitting.diameter import fit_diameter

    click.echo(fit_diameter(open_recipe(recipe, out, data), cards))


COMMANDS = (sets, leave_out, colours, classical, scales, diameter)
