"""The production server: waitress around the app."""

import socket
from collections.abc import Sequence
from typing import Any

from waitress.server import create_server

from device.errors import SettingsError
from device.service import Service
from device.web import create_app

_BODY_SLACK_BYTES = 10_000_000
"""The app refuses a large upload with a sentence; waitress drops only much larger ones."""

_PROXY: dict[str, Any] = {
    "trusted_proxy": "127.0.0.1",
    "trusted_proxy_count": 1,
    "trusted_proxy_headers": "x-forwarded-for x-forwarded-proto x-forwarded-host",
}


class Server:
    """A bound server. `run` serves until KeyboardInterrupt.

    Attributes:
        addresses: where it answers, as URLs.
    """

    def __init__(self, waitress: Any, addresses: list[str]) -> None:
        self._waitress = waitress
        self.addresses = addresses

    def run(self) -> None:
        """Serve."""
        self._waitress.run()

    def close(self) -> None:
        """Stop listening."""
        self._waitress.close()


def make_server(service: Service, inherited: Sequence[socket.socket] = ()) -> Server:
    """Bind and wrap the app.

    Args:
        service: what the app shows.
        inherited: listening sockets from systemd, instead of web.host and web.port. They may be
            reached by anybody regardless of the settings, so a login is needed.

    Raises:
        SettingsError: the address is in use or not this machine's.
    """
    web = service.settings.web
    app = create_app(service, needs_login=service.needs_login(bool(inherited)))
    options: dict[str, Any] = {
        "threads": web.threads,
        "ident": "fluocount",
        "max_request_body_size": 2 * web.max_upload_mb * 1_000_000 + _BODY_SLACK_BYTES,
        "clear_untrusted_proxy_headers": web.behind_proxy,
    }
    if web.behind_proxy:
        options |= _PROXY
    where = {"sockets": list(inherited)} if inherited else {"host": web.host, "port": web.port}
    try:
        bound = create_server(app, **where, **options)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The page cannot listen on {web.host}:{web.port} ({error}); "
            "choose another host or port."
        ) from None
    return Server(bound, _addresses(bound))


def _addresses(bound: Any) -> list[str]:
    pairs = getattr(bound, "effective_listen", None)
    if pairs is None:
        pairs = [(bound.effective_host, bound.effective_port)]
    return [f"http://{_readable(str(host))}:{port}" for host, port in pairs]


def _readable(host: str) -> str:
    """A name or address that a browser accepts."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
