"""`fluocount token`: API tokens for scripts, and the reset of a lost password."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device.commands.options import settings_with_models, store_options

if TYPE_CHECKING:
    from device.store.access import Access


@click.group("token")
def command() -> None:
    """Create, list and revoke API tokens."""


@command.command("create")
@click.argument("name")
@store_options()
def create(name: str, data_dir: Path | None, config: Path | None) -> None:
    """Create a token and print it. It is shown only once.

    Send it as `Authorization: Bearer TOKEN`.
    """
    click.echo(_access(data_dir, config).create_token(name))


@command.command("list")
@store_options()
def list_all(data_dir: Path | None, config: Path | None) -> None:
    """List the tokens and when each was used last."""
    from tabulate import tabulate

    rows = [
        (token.name, _time(token.created_s), _time(token.last_used_s))
        for token in _access(data_dir, config).tokens()
    ]
    click.echo(tabulate(rows, headers=("name", "created", "last used")))


@command.command("revoke")
@click.argument("name")
@store_options()
def revoke(name: str, data_dir: Path | None, config: Path | None) -> None:
    """Revoke a token at once."""
    _access(data_dir, config).revoke_token(name)
    click.echo(f"token {name} revoked")


@command.command("reset-password")
@click.confirmation_option(prompt="Delete the shared password of the page and log everybody out?")
@store_options()
def reset_password(data_dir: Path | None, config: Path | None) -> None:
    """Delete the shared password of the page; the next start shows a new set-up code.

    People who log in under a name of their own keep their password.
    """
    _access(data_dir, config).forget_shared_user()
    click.echo(
        "Password deleted. Restart the service, read the set-up code in its log and set a new password."
    )


def _access(data_dir: Path | None, config: Path | None) -> "Access":
    from device.store import open_store

    return open_store(settings_with_models(config, data_dir).storage).access


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="minutes")
