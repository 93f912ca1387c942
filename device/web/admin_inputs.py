"""The inputs of the administration."""

from apiflask.fields import Boolean, File

from device.web.fields import text_field
from device.web.inputs import Strict

MAX_USER_CHARS = 60


class UserForm(Strict):
    """Another person who may log in."""

    name = text_field(MAX_USER_CHARS, required=True)
    password = text_field(200, required=True)
    administrator = Boolean(load_default=False)


class UserEdit(Strict):
    """A new password for somebody who forgot the old one, or the right to administer."""

    password = text_field(200)
    administrator = Boolean()


class PasswordForm(Strict):
    """One's own password."""

    old = text_field(200, required=True)
    new = text_field(200, required=True)


class TokenForm(Strict):
    """What the token is called, for people: the name of the program that uses it."""

    name = text_field(MAX_USER_CHARS, required=True)


class BackupQuery(Strict):
    """Without `results` the backup holds settings and database only, and is small."""

    results = Boolean(load_default=True)


class ReleaseForm(Strict):
    """A release of fluocount, as it was downloaded."""

    release = File(  # type: ignore[no-untyped-call]
        required=True, metadata={"description": ".tar.gz or .zip"}
    )
