"""The service behind the app that answers the present request."""

from flask import current_app

from device.service import Service


def service() -> Service:
    """The service that `create_app` was given."""
    found = current_app.extensions["fluocount"]
    assert isinstance(found, Service)
    return found
