"""`fluocount study review`, `results`, `log`, `sample-size`: blinded reviews on the command line."""

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import click

from device.config import Settings

if TYPE_CHECKING:
    from device.store import Store


class Opened(Protocol):
    """Opens the store of some settings."""

    def __call__(self, settings: Settings) -> AbstractContextManager["Store"]:
        """The store within a `with`."""


def add_review_commands(group: click.Group, opened: Opened) -> None:
    """Add the commands to `fluocount study`.

    Args:
        group: receives them.
        opened: opens the store.
    """
    for made in (_review(opened), _results(opened), _log(opened), _sample_size(opened)):
        group.add_command(made)


_precision = click.option(
    "--precision",
    type=click.FloatRange(min=0, min_open=True),
    metavar="CELLS",
    help="Wanted precision of the mean error, ± cells.",
)


def _review(opened: Opened) -> click.Command:
    @click.command("review")
    @click.argument("name")
    @click.option("--observer", "observers", multiple=True, required=True, help="Several times.")
    @click.option("--number", type=click.IntRange(min=1), help="How many images (default: all).")
    @_precision
    @click.option("--seed", type=click.IntRange(min=0), help="Draw the same images again.")
    @click.pass_obj
    def review(
        settings: Settings,
        name: str,
        observers: tuple[str, ...],
        number: int | None,
        precision: float | None,
        seed: int | None,
    ) -> None:
        """Draw images of the study NAME and begin a blinded review of them."""
        from device.studies.reviewing import begin_review

        with opened(settings) as store:
            begun = begin_review(
                store, name, observers, number=number, precision=precision, seed=seed
            )
        click.echo(
            f"{len(begun.keys)} of {sum(begun.of.values())} images, drawn with the seed {begun.seed}"
        )
        click.echo(f"Observers open /reviews/{begun.id} on the page of the instrument.")

    return review


def _results(opened: Opened) -> click.Command:
    @click.command("results")
    @click.argument("review")
    @click.option(
        "--end", is_flag=True, help="Unblind it first; every observer must have finished."
    )
    @click.pass_obj
    def results(settings: Settings, review: str, end: bool) -> None:
        """What a finished REVIEW found."""
        from device.studies.reviewing import review_result
        from device.studies.words import number_text, range_text

        with opened(settings) as store:
            if end:
                store.reviews.finish(review, "command line")
            found = review_result(store, review)
        click.echo(found.sentence)
        for pair in found.pairs:
            one = pair.bland_altman
            click.echo(
                f"{pair.second} - {pair.first}: mean {number_text(one.mean)}, limits "
                f"{range_text(one.lower, one.upper)}, ICC {number_text(pair.icc.value)} "
                f"({range_text(pair.icc.low, pair.icc.high)}), F1 {pair.f1:.3f}"
            )
        for told in (*found.opened, *found.faults):
            click.echo(told, err=True)

    return results


def _log(opened: Opened) -> click.Command:
    @click.command("log")
    @click.argument("review")
    @click.pass_obj
    def log(settings: Settings, review: str) -> None:
        """The log of a REVIEW with its hashes; ends with 1 where somebody changed something."""
        with opened(settings) as store:
            faults = store.reviews.faults(review)
            for _, content, link in store.reviews.raw_log(review):
                click.echo(f"{link}  {content}")
        for fault in faults:
            click.echo(f"fluocount: {fault}", err=True)
        if faults:
            sys.exit(1)
        click.echo("Nothing was changed.", err=True)

    return log


def _sample_size(opened: Opened) -> click.Command:
    @click.command("sample-size")
    @click.argument("name")
    @_precision
    @click.pass_obj
    def size(settings: Settings, name: str, precision: float | None) -> None:
        """How many images of the study NAME a review needs."""
        from device.studies.reviewing import error_sd
        from device.studies.sampling import sample_size
        from device.studies.values import image_lines
        from device.studies.words import number_text

        with opened(settings) as store:
            store.studies.get(name)
            images = sum(line.count is not None for line in image_lines(store, name))
            sd = error_sd(store, name)
            needed = sample_size(sd, precision or 1.0, images)
        click.echo(
            f"{needed} of {images} images give the mean error to within {precision or 1.0:g} cells (the error of one "
            f"image is expected to scatter by {number_text(sd, 2)} cells)."
        )

    return size
