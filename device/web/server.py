"""The production server: waitress around the app."""

import socket
from collections.abc import Sequence
from typing import Any

from waitress.proxy_headers import proxy_headers_middleware
from waitress.server import BaseWSGIServer, create_server

from device.errors import SettingsError
from device.service import Service
from device.web import create_app
from device.web.connections import MOST_CONNECTIONS, Channel, Environ, Gate, Refused, close_overdue
from device.web.gate import make_gate

_HEADER_BYTES = 65_536

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
        # Announced bodies are refused by the gate, with a sentence; this is for those of unknown length.
        "max_request_body_size": app.config["MAX_CONTENT_LENGTH"] + 1,
        "max_request_header_size": _HEADER_BYTES,
        "connection_limit": MOST_CONNECTIONS,
        "cleanup_interval": 1,
        "asyncore_use_poll": True,  # select() fails above descriptor 1023
        "clear_untrusted_proxy_headers": web.behind_proxy,
        "url_prefix": web.path,
    }
    if web.behind_proxy:
        options |= _PROXY
    where = {"sockets": list(inherited)} if inherited else {"host": web.host, "port": web.port}
    try:
        sockets: dict[int, Any] = {}
        bound = create_server(app, map=sockets, **where, **options)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The page cannot listen on {web.host}:{web.port} ({error}); "
            "choose another host or port."
        ) from None
    for listener in [one for one in sockets.values() if isinstance(one, BaseWSGIServer)]:
        _protect(listener, make_gate(app))
    return Server(bound, [f"{address}{web.path}" for address in _addresses(bound)])


def _protect(listener: BaseWSGIServer, gate: Gate) -> None:
    """Give a listening socket of waitress our connections, and look for overdue ones every second."""
    adjusted = listener.adj
    behind = proxy_headers_middleware(
        lambda environ, _: environ["fluocount.answers"].append(gate(environ)) or [],
        trusted_proxy=adjusted.trusted_proxy,
        trusted_proxy_count=adjusted.trusted_proxy_count,
        trusted_proxy_headers=adjusted.trusted_proxy_headers,
        clear_untrusted=adjusted.clear_untrusted_proxy_headers,
        log_untrusted=False,
        logger=listener.logger,
    )

    def ask(environ: Environ) -> Refused | None:
        answers: list[Refused | None] = []
        environ["fluocount.answers"] = answers
        list(behind(environ, lambda *_: None))
        # Without an answer the proxy's headers were malformed.
        return answers[0] if answers else Refused(400, [], b"")

    silence = listener.maintenance

    def maintain(now: float) -> None:
        silence(now)
        close_overdue(listener.active_channels.values())

    listener.channel_class = type("GatedChannel", (Channel,), {"gate": staticmethod(ask)})
    listener.maintenance = maintain


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
