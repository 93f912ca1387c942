"""The page and the API: `create_app(service)` gives a Flask app for any WSGI server."""

import hashlib
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from apiflask import APIFlask

from device import __version__
from device.errors import StorageError
from device.machine.records import prepare_records
from device.service import Service
from device.store import Store
from device.web import access, errors
from device.web.api import document
from device.web.api.account import account
from device.web.api.administration import administration
from device.web.api.assays import assays
from device.web.api.camera import camera
from device.web.api.corrections import corrections
from device.web.api.counts import counts
from device.web.api.exports import exports
from device.web.api.instruments import instruments
from device.web.api.looks import looks
from device.web.api.models import models
from device.web.api.objectives import objectives
from device.web.api.openings import watch_openings
from device.web.api.products import products
from device.web.api.regions import regions
from device.web.api.reviews import reviews
from device.web.api.status import health, status
from device.web.api.studies import studies
from device.web.api.study_files import study_files
from device.web.api.upkeep import upkeep
from device.web.compress import compress_static
from device.web.forms import FormRequest, refuse_repeated
from device.web.guessing import new_limiter
from device.web.help import help_pages
from device.web.login import login_pages
from device.web.metrics import metrics, require_prometheus
from device.web.pages import pages

__all__ = ["create_app"]

_MB = 1_000_000


_BLUEPRINTS = (
    pages, login_pages, health, status, counts, looks, products, corrections, camera, exports, assays, objectives,
    models, studies, study_files, reviews, help_pages, instruments, regions,
    account, administration, upkeep,
)  # fmt: skip


def create_app(service: Service, *, needs_login: bool | None = None) -> APIFlask:
    """The app around a service.

    Args:
        service: started or not; the app only reads from it.
        needs_login: None decides from the settings: only a loopback address without a proxy
            needs no login.
    """
    if needs_login is None:
        needs_login = service.needs_login()
    prepare_records()
    app = APIFlask(
        __name__,
        title="fluocount",
        version=__version__,
        docs_path=None,
        spec_path="/api/v1/openapi.json",
        static_folder="static",
        static_url_path=f"/static/{_static_version()}",
        template_folder="templates",
    )
    app.request_class = FormRequest
    app.extensions["fluocount"] = service
    app.extensions["login_limiter"] = new_limiter()
    # Viewers that wait for a slow exposure must not occupy every thread of the server.
    waiters = max(1, service.settings.web.threads // 2)
    app.extensions["preview_waiters"] = threading.BoundedSemaphore(waiters)
    app.config.update(_flask_settings(service))
    errors.install(app)
    access.install(app, needs_login=needs_login)
    app.before_request(refuse_repeated)
    document.configure(app)
    app.after_request(compress_static)
    watch_openings(app)
    if service.settings.server.metrics:
        require_prometheus()
        app.register_blueprint(metrics)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def _session_secret(store: Store | None) -> str:
    """Without a store that can be written no login is possible; a temporary secret is enough then."""
    if store is not None:
        with suppress(StorageError):
            return store.access.secret("session")
    return access.passing_secret()


def _static_version() -> str:
    """Changes with the static files, so that browsers keep them for a year and never mix two versions."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / "static").rglob("*.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _flask_settings(service: Service) -> dict[str, Any]:
    web = service.settings.web
    store = service.store
    return {
        "SECRET_KEY": _session_secret(store),
        "MAX_CONTENT_LENGTH": web.max_upload_mb * _MB + errors.MAX_TEXT_BYTES,
        "MAX_FORM_MEMORY_SIZE": errors.MAX_TEXT_BYTES,
        "MAX_FORM_PARTS": errors.MAX_FORM_PARTS,
        "SESSION_COOKIE_NAME": "fluocount",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": web.behind_proxy,
        # Several programs may share the host: each has its own cookies.
        "SESSION_COOKIE_PATH": web.path or "/",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=web.session_hours),
        "SEND_FILE_MAX_AGE_DEFAULT": timedelta(days=365),
        "JSON_SORT_KEYS": False,
        **({"SERVERS": [{"url": web.path}]} if web.path else {}),
    }
