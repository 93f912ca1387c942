"""Who may come in: users and API tokens; for administrators alone."""

import logging
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request
from flask_login import current_user
from werkzeug.security import generate_password_hash

from device.errors import InputError
from device.web.access import require_administrator
from device.web.admin_inputs import TokenForm, UserEdit, UserForm
from device.web.admin_records import TokenList, UserList
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.login import usable_password

administration = APIBlueprint("administration", __name__, url_prefix="/api/v1")
administration.before_request(require_administrator)  # of every view, also of those to come
_log = logging.getLogger(__name__)


@administration.get("/users")
@answers(administration, ref("UserList"))
def users() -> Response:
    """Everybody who may log in."""
    return _users()


@administration.post("/users")
@administration.input(UserForm, location="json", arg_name="form")
@answers(administration, ref("UserList"), 409, status=201, text="Added")
def add_user(form: dict[str, Any]) -> Response:
    """Let another person log in, whose corrections carry that name; answers all."""
    name = _usable_name(form["name"], "Ada Lovelace")
    made = generate_password_hash(usable_password(form["password"]))
    service().require_store().access.add_user(name, made, administrator=form["administrator"])
    _log.info("the user %r was added from %s", name, request.remote_addr)
    return _users(201)


@administration.patch("/users/<name>")
@administration.input(UserEdit, location="json", arg_name="changes")
@answers(administration, ref("UserList"), 404, 409)
def change_user(name: str, changes: dict[str, Any]) -> Response:
    """Give somebody a new password, which ends that person's sessions, or the right to administer; answers all."""
    password = changes.get("password")
    made = None if password is None else generate_password_hash(usable_password(password))
    service().require_store().access.change_user(
        name, password_hash=made, administrator=changes.get("administrator")
    )
    return _users()


@administration.delete("/users/<name>")
@answers(administration, ref("UserList"), 404, 409)
def remove_user(name: str) -> Response:
    """Remove a user; what the person corrected keeps the name; answers the others."""
    service().require_store().access.remove_user(name)
    _log.info("the user %r was removed from %s", name, request.remote_addr)
    return _users()


@administration.get("/tokens")
@answers(administration, ref("TokenList"))
def tokens() -> Response:
    """All API tokens, without the tokens themselves."""
    return _tokens()


@administration.post("/tokens")
@administration.input(TokenForm, location="json", arg_name="form")
@answers(administration, ref("TokenList"), 409, status=201, text="Created; told only now")
def add_token(form: dict[str, Any]) -> Response:
    """Create a token for a program; it is told in this answer only."""
    name = _usable_name(form["name"], "plate reader")
    return _tokens(service().require_store().access.create_token(name), 201)


@administration.delete("/tokens/<name>")
@answers(administration, ref("TokenList"), 404)
def revoke_token(name: str) -> Response:
    """Revoke a token at once; answers the others."""
    service().require_store().access.revoke_token(name)
    return _tokens()


def _usable_name(text: str, example: str) -> str:
    """A name that an address can carry: whoever is added can be changed and removed.

    Raises:
        InputError: it cannot.
    """
    name = " ".join(text.split())
    if not name.strip(".") or not name.isprintable() or "/" in name or "\\" in name:
        raise InputError(f"A name has letters, and no slashes, such as {example!r}; not {text!r}.")
    return name


def _users(status: int = 200) -> Response:
    found = tuple(service().require_store().access.users())
    return json(UserList(users=found, you=current_user.get_id()), status)


def _tokens(made: str | None = None, status: int = 200) -> Response:
    found = tuple(service().require_store().access.tokens())
    return json(TokenList(tokens=found, made=made), status)
