"""The reverse proxy of docs/access.md with a certificate of its own: the page behind it, and a Pi that sends to it."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from appliance import answering, make_service, wait_for
from forwarding import count_image, make_pi

NGINX = (
    os.environ.get("FLUOCOUNT_NGINX") or shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
)
DOCS = Path(__file__).parents[1] / "docs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="no nginx; install Debian's, or set FLUOCOUNT_NGINX"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl"),
]


def documented_server() -> str:
    """The server block as people copy it."""
    text = (DOCS / "access.md").read_text(encoding="utf-8")
    block = re.search(r"^nginx:\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    assert block is not None
    return block[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@pytest.fixture
def certificate(tmp_path):
    key, made = tmp_path / "fluocount.key", tmp_path / "fluocount.crt"
    config = tmp_path / "openssl.cnf"
    config.write_text("[req]\ndistinguished_name = nobody\n[nobody]\n")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-config",
                str(config),
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture(params=["", "/cells"])
def central(request, tmp_path, certificate):
    """A central behind nginx, alone or below a folder: (service, https address)."""
    folder = request.param
    service = make_service(tmp_path / "central", port=0, behind_proxy=True, path=folder)
    with answering(service) as server:
        port, inside = free_port(), urlsplit(server.addresses[0]).port
        block = documented_server()
        for before, after in {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "fluocount.local": "localhost",
            "/etc/ssl/fluocount.crt": str(certificate),
            "/etc/ssl/fluocount.key": str(certificate.with_suffix(".key")),
            "127.0.0.1:8080": f"127.0.0.1:{inside}",
            "location /": f"location {folder}/",
        }.items():
            assert before in block, before
            block = block.replace(before, after)
        folders = [f"{name}_temp_path {tmp_path}/{name};" for name in TEMPORARY]
        # Else the processes of a root nginx are somebody else, who may not write here.
        user = "user root;" if os.getuid() == 0 else ""
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"{user} daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off; {' '.join(folders)}\n{block}}}\n"
        )
        proxy = subprocess.Popen([NGINX, "-c", str(config), "-p", str(tmp_path)])
        try:
            wait_for(lambda: is_open(port), 30, "nginx")
            yield service, f"https://localhost:{port}{folder}"
        finally:
            proxy.terminate()
            proxy.wait()


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def fetch(address: str, certificate: Path, **headers: str) -> int:
    context = ssl.create_default_context(cafile=str(certificate))
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_behind_the_documented_nginx_the_page_asks_for_a_login(central, certificate):
    service, address = central
    assert fetch(f"{address}/healthz", certificate) == 200
    assert fetch(f"{address}/api/v1/counts", certificate) == 401
    token = service.require_store().access.create_token("a test")
    headers = {"Authorization": f"Bearer {token}"}
    assert fetch(f"{address}/api/v1/counts", certificate, **headers) == 200


def test_results_are_forwarded_by_tls_only_to_whom_is_trusted(central, certificate, tmp_path):
    service, address = central
    token = service.require_store().access.create_token("pi")
    pi = make_pi(tmp_path / "pi", address, token=token, images=True)
    pi.start()
    count_image(pi, 1)
    assert "certificate" in wait_for(lambda: pi.forwarder.state.trouble, 30).lower()
    pi.stop()
    trusting = make_pi(tmp_path / "pi", address, token=token, images=True, ca_file=str(certificate))
    trusting.start()
    wait_for(lambda: len(service.require_store().counts.search()) == 1, 60, "arrival")
    trusting.stop()
