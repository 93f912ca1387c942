"""The account of whoever is logged in."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, request
from flask_login import current_user
from werkzeug.security import generate_password_hash

from device.errors import ForbiddenError, InputError
from device.web.admin_inputs import PasswordForm
from device.web.api.answers import answers
from device.web.current import service
from device.web.guessing import count_failure, refuse_guessing
from device.web.login import password_holds, usable_password

account = APIBlueprint("account", __name__, url_prefix="/api/v1")


@account.post("/password")
@account.input(PasswordForm, location="json", arg_name="form")
@answers(account, None, 429, status=204, text="Changed; log in again")
def change_password(form: dict[str, Any]) -> Any:
    """Change the own password; every session under it ends, this one too."""
    name = None if request.authorization is not None else current_user.get_id()
    if name is None:
        raise ForbiddenError("Only somebody who is logged in has a password to change.")
    if (too_many := refuse_guessing()) is not None:
        return too_many
    if not password_holds(name, form["old"]):
        count_failure()
        raise InputError("The present password is wrong; nothing was changed.")
    made = generate_password_hash(usable_password(form["new"]))
    service().require_store().access.change_user(name, password_hash=made)
    return Response(status=204)
