"""The `fluocount` command. Each sub-command lives in device/commands and is imported only when it is called."""

import importlib
import sys

import click

from device import __version__
from device.errors import FluocountError

COMMANDS = {
    "count": "Count the cells in images and folders.",
    "join": "Join the tables of a count that was shared out.",
    "serve": "Start the page, the API, the camera and the button.",
    "watch": "Count every new image that appears in a folder.",
    "assay": "List, show, export, import and teach assays.",
    "objective": "List, measure, rename and remove objectives.",
    "model": "Install, list and remove networks of your own.",
    "correct": "Read cells that were marked in another program as corrections.",
    "recount": "Count stored images again with another assay or cell diameter.",
    "study": "Groups, subjects and slices: figures, tests, blinded review, a report.",
    "open": "Open the exported study of another laboratory.",
    "export": "Export stored results as CSV, ROIs, label image or GeoJSON.",
    "replay": "Count a stored image again and report what differs.",
    "bench": "Measure speed and memory on this computer.",
    "doctor": "Check this computer and say what to do.",
    "token": "Create, list and revoke API tokens.",
    "backup": "Save settings, images and results to one file.",
    "restore": "Restore a backup.",
    "move": "Move the counts of a data folder into a PostgreSQL database.",
}


class _LazyGroup(click.Group):
    """Sub-commands by name, so that `fluocount count` never pays for the web server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"device.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An option with nothing behind it is an error: a variable of a script was empty."""
        for before, arg in zip(["", *args], args, strict=False):
            if arg.startswith("--") and arg.endswith("=") and arg.count("=") == 1:
                raise click.UsageError(f"{arg[:-1]} has nothing behind it; give a value.", ctx)
            if arg == "":
                raise click.UsageError(
                    f"The value after {before or 'fluocount'} is empty; give one.", ctx
                )
        if args[:1] == ["count"] and not {"-h", "--help"} & set(args):
            # The process that reads images starts beside the imports of the command: 0.15 s earlier at the first tile.
            importlib.import_module("device.sandbox.pool").decoders.warm()
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fluocount")
def cli() -> None:
    """Count stained cells in fluorescence microscopy images."""


def main() -> None:
    """Entry point: a fluocount error becomes one sentence and exit status 1."""
    try:
        cli()
    except FluocountError as error:
        click.echo(f"fluocount: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
