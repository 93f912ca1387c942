"""The `fluocount-train` command; TensorFlow is loaded inside the sub-commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.errors import FluocountError
from trainer.experiments.manysets import COMMANDS, DATA, OUT, open_recipe

if TYPE_CHECKING:
    from trainer.frames.sources import Kind, Scale


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Train the networks that fluocount counts with. RECIPE is a shipped name or a .toml file."""


for command in COMMANDS:
    cli.add_command(command)


@cli.command()
@click.argument("recipe")
@OUT
@DATA
def fit(recipe: str, out: Path | None, data: Path | None) -> None:
    """Pre-train, fine-tune on all frames and choose the threshold; continues after an interruption."""
    from trainer.experiments.crossvalidation import finish

    training = open_recipe(recipe, out, data)
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
    from trainer.experiments.crossvalidation import crossvalidate as run_folds

    training = open_recipe(recipe, out, data)
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
    from trainer.confidence.unseen import calibrate_run

    training = open_recipe(recipe, out, data)
    click.echo(calibrate_run(training, card or training.out / "final" / "card.json"))


@cli.command()
@click.argument("model")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["pairs", "labels", "reduced", "fnc_v1", "fnc_v2"]),
    default="pairs",
    help="Layout: images/ with masks/ or labels/, with index.csv, or the original archive.",
)
@click.option("--part", type=click.Choice(["train", "test"]), default="test", help="Of an archive.")
@click.option(
    "--scale",
    type=click.Choice(["width", "diameter"]),
    default="width",
    help="How large a cell is: 1600 px wide frames, or each frame's own median cell diameter.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/evaluation"))
def evaluate(model: str, folder: Path, kind: "Kind", part: str, scale: "Scale", out: Path) -> None:
    """Score MODEL (a shipped name, a .tflite or a run's folder) on the annotated frames of FOLDER."""
    from trainer.experiments.scoring import evaluate_folder

    click.echo(evaluate_folder(model, folder, kind, part, scale, out))


@cli.command()
@click.option("--frames", type=click.IntRange(min=1), default=20)
@click.option("--seed", type=click.IntRange(min=0), default=1)
@click.option("--width", type=click.IntRange(min=160, max=8000), default=1600, help="Pixels; 4:3.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def synthesize(frames: int, seed: int, width: int, out: Path) -> None:
    """Write synthetic frames with exact label images: OUT/images, OUT/labels."""
    from trainer.experiments.scoring import synthesize_folder

    click.echo(f"{synthesize_folder(frames, seed, width, out)} cells in {frames} frames in {out}")


@cli.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--cell-diameter", type=click.FloatRange(min=2), help="Pixels; default 38 per 1600 of width."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/proposals"))
def propose(images: tuple[Path, ...], cell_diameter: float | None, out: Path) -> None:
    """Write loose candidate masks for a person to prune (no network involved)."""
    from trainer.experiments.scoring import propose_masks

    for path, count in propose_masks(images, cell_diameter, out):
        click.echo(f"{path}: {count} candidates")


@cli.command()
@click.argument("archive", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--recipe", default="paper", help="A shipped name or a .toml; its frames are replaced."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/paper"))
def paper(archive: Path, recipe: str, out: Path) -> None:
    """Reproduce the paper's split and table from the original ARCHIVE (version 1 or 2)."""
    from trainer.experiments.published import reproduce

    click.echo(reproduce(archive, recipe, out, click.echo))


@cli.command()
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER:LAYOUT...")
@click.option(
    "--model", default="fast", show_default=True, help="Shipped name, .tflite or a run's folder."
)
@click.option(
    "--most", type=click.IntRange(min=6), default=40, show_default=True, help="Frames of a folder."
)
@click.option("--draws", type=click.IntRange(min=1), default=5, show_default=True)
def teach(folders: tuple[str, ...], model: str, most: int, draws: int) -> None:
    """Measure what teaching an assay is worth: taught on 5 and 10 frames of each FOLDER, the others scored.

    LAYOUT is pairs (images/ with masks/), labels (images/ with labels/) or reduced (with index.csv).
    Folders joined by + are one set.
    """
    from trainer.experiments.scoring import open_segmenter
    from trainer.experiments.teaching import measure_teaching, parse_set

    sets = [parse_set(text) for text in folders]
    for line in measure_teaching(open_segmenter(model), sets, most, draws):
        click.echo(line)


@cli.command()
@click.argument("folder", metavar="FOLDER:LAYOUT")
@click.option(
    "--most", type=click.IntRange(min=1), default=20, show_default=True, help="Frames in it."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The training file.")
def pack(folder: str, most: int, out: Path) -> None:
    """Write a training file for `adapt` from the annotated frames of FOLDER, drawn with a fixed seed.

    LAYOUT is pairs (images/ with masks/), labels (images/ with labels/) or reduced (with index.csv). Folders joined by
    + give one file.
    """
    from trainer.experiments.teaching import parse_set
    from trainer.frames.packing import pack_folders

    frames, cells = pack_folders(parse_set(folder), most, out)
    click.echo(f"{frames} frames with {cells} cells in {out}")


@cli.command()
@click.option("--experiment", "names", multiple=True, help="Only these; may be repeated.")
@click.option("--table", is_flag=True, help="Only print the table of what is finished.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/study"))
@click.option("--results", type=click.Path(path_type=Path), default=Path("docs/study"))
@DATA
def study(
    names: tuple[str, ...], table: bool, runs: Path, results: Path, data: Path | None
) -> None:
    """Ablations and comparators with one step budget and 3 folds; continues after an interruption."""
    from trainer.experiments.study import run_study, study_table
    from trainer.fitting.workflow import data_folder

    if not table:
        run_study(list(names), runs, results, data or data_folder(), click.echo)
    click.echo(study_table(results))


@cli.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cell-diameter", type=click.FloatRange(min=2), required=True, help="Pixels.")
@click.option(
    "--frames", "frames", multiple=True, type=click.IntRange(min=1), default=(32, 50),
    show_default=True, help="To train on; may be repeated.",
)  # fmt: skip
@click.option("--test", type=click.IntRange(min=1), default=100, show_default=True)
@click.option(
    "--repetition",
    "repetitions",
    multiple=True,
    type=click.IntRange(min=0),
    default=range(5),
    help="Number of a random split; may be repeated; default: 0 to 4.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), help="Of each training; default: the recipe's."
)
@click.option("--out", "weights", type=click.Path(path_type=Path), default=Path("runs/density"))
@click.option("--results", type=click.Path(path_type=Path), default=Path("docs/density"))
def density(folder: Path, cell_diameter: float, steps: int | None, **chosen: Any) -> None:
    """Measure counting by a density that is learned from dots: trained on few frames of FOLDER, others counted.

    FOLDER holds NAMEcell.png and NAMEdots.png. A training on more frames goes on from that on fewer. Continues after
    an interruption.
    """
    import msgspec

    from trainer.experiments.density import Plan, density_table, run_trials
    from trainer.fitting.density import DensityRecipe
    from trainer.frames.dots import read_dotted

    recipe = DensityRecipe(cell_diameter_px=cell_diameter)
    if steps is not None:
        recipe = msgspec.structs.replace(recipe, steps=steps, further_steps=steps)
    plan = Plan(**chosen)
    run_trials(read_dotted(folder), recipe, plan, click.echo)
    click.echo(density_table(plan.results))


def main() -> None:
    """Entry point: a deliberate error becomes one sentence and exit status 1."""
    try:
        cli()
    except FluocountError as error:
        click.echo(f"fluocount-train: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
