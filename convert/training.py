"""The `fluocount-train` command: training, and `adapt`, which trains and converts."""

from pathlib import Path

import click

from trainer.cli import cli, main


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from", "base", default="any", show_default=True, help="Released model to start from."
)
@click.option("--name", help="Of the new model; default: after the assay.")
@click.option("--steps", type=click.IntRange(min=1), help="Of each training; default 400.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run; default runs/NAME."
)
def adapt(file: Path, base: str, name: str | None, steps: int | None, out: Path | None) -> None:
    """Fine-tune a network on corrected frames: FILE is what `fluocount export --training` wrote.

    Frames with outlines or with dots alone. Prints what it gained on frames that were left out, and writes the new
    model as OUT/NAME.zip for `fluocount model install`. Goes on where an interrupted call ended.
    """
    from convert.adapt import Options, adapt, name_after
    from device.export.trainingfile import read_manifest

    named = name or name_after(read_manifest(file).assay.name, base)
    done = adapt(file, base, named, out or Path("runs") / named, Options(steps, click.echo))
    click.echo(done.report)
    click.echo(f"Install it with: fluocount model install {done.package}")


if __name__ == "__main__":
    main()
