"""Use the page of the emulated system of prove_arm64.py as a person does."""

import json
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

from proof_root import UNIT, Root
from proof_steps import Lines, ProofError

PORT = 18080
START_S = 300
STOP_S = 120
COUNT_S = 1800
CODE_FILE = "var/lib/fluocount/setup-code"


@contextmanager
def page(root: Root, start: list[str]) -> Iterator[str]:
    """The unit's ExecStart behind a socket as systemd hands it over; gives the page's address."""
    root.run("install", "-d", "-o", "fluocount", "-g", "fluocount", "/run/fluocount")
    activate = ["systemd-socket-activate", f"--listen={PORT}"]
    emulator = {"QEMU_CPU": root.environment()["QEMU_CPU"], "STATE_DIRECTORY": "/var/lib/fluocount"}
    user = root.as_service(**emulator)
    as_user, pairs = user[: user.index("env")], user[user.index("env") + 1 :]
    activate += [f"--setenv={pair}" for pair in pairs]
    with (
        root.folder.with_name(f"serve-{root.release}.log").open("w") as log,
        subprocess.Popen(
            root.command(*as_user, *activate, *start),
            env=root.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{PORT}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def exec_start(root: Root) -> str:
    """The command line of the installed unit."""
    unit = (root.folder / UNIT).read_text().splitlines()
    return next(line.partition("=")[2] for line in unit if line.startswith("ExecStart="))


class Browser:
    """A person's browser: cookies, forms with their hidden field, and the calls of the page's scripts."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.csrf = ""
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def get(self, path: str, data: bytes | None = None, **headers: str) -> str:
        """Ask; where a page comes back, its token for forms and calls is remembered.

        Raises:
            ProofError: refused, with the page's sentence.
        """
        request = urllib.request.Request(self.address + path, data=data)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with self._opener.open(request, timeout=START_S) as answer:
                text: str = answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            raise ProofError(f"{path}: {error.code} {error.read().decode()[:2000]}") from None
        if found := re.search(r'name="csrf-token" content="([^"]+)"', text):
            self.csrf = found[1]
        return text

    def send_form(self, path: str, **fields: str) -> str:
        """Send a form of the page."""
        fields["csrf_token"] = self.csrf
        return self.get(path, urllib.parse.urlencode(fields).encode())

    def call(self, path: str, data: bytes | None = None, kind: str = "application/json") -> dict:
        """What a script of the page does."""
        headers = {} if data is None else {"Content_Type": kind, "X_CSRFToken": self.csrf}
        return dict(json.loads(self.get(f"/api/v1{path}", data, **headers)))

    def upload(self, picture: Path) -> str:
        """Hand in an image; gives the id of its count."""
        boundary = secrets.token_hex(8)
        disposition = f'Content-Disposition: form-data; name=image; filename="{picture.name}"'
        head = f"--{boundary}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
        body = head + picture.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return str(self.call("/counts", body, kind)["id"])


def wait_for_page(browser: Browser) -> str:
    """The first page; the first call starts the service."""
    end_s = time.monotonic() + START_S
    while True:
        try:
            return browser.get("/")
        except OSError as error:
            if time.monotonic() > end_s:
                raise ProofError(f"the page did not come up: {error}") from None
            time.sleep(2)


def log_in(root: Root, browser: Browser) -> str:
    """Set up with the code the first time; the password lies beside the root for later times."""
    kept = root.folder.with_name(f"password-{root.release}")
    code = root.folder / CODE_FILE
    wait_for_page(browser)
    if code.exists():
        kept.write_text(secrets.token_hex(8))
        words = {"password": kept.read_text(), "password_again": kept.read_text()}
        browser.send_form("/setup", code=code.read_text().strip(), **words)
        said = "the set-up code was taken and a password chosen"
    else:
        browser.send_form("/login", password=kept.read_text())
        said = "logged in with the password chosen before"
    if 'id="capture"' not in browser.get("/"):
        raise ProofError("the capture page did not come up after logging in")
    return said


def use_page(root: Root, picture: Path) -> Lines:
    """Start as the unit does, log in, upload an image, take a picture with the simulated camera."""
    start = exec_start(root)
    yield f"ExecStart={start}"
    with page(root, start.split()) as address:
        browser = Browser(address)
        yield log_in(root, browser)
        yield "upload: " + wait_for_count(browser, browser.upload(picture))
        captured = browser.call("/captures", b"{}")["id"]
        yield "capture: " + wait_for_count(browser, captured)


def wait_for_count(browser: Browser, count_id: str) -> str:
    """Wait for a count, look at its page and overlay; says what was counted.

    Raises:
        ProofError: it failed or takes too long.
    """
    end_s = time.monotonic() + COUNT_S
    while True:
        answer = browser.call(f"/counts/{count_id}")
        if answer["status"] == "done":
            break
        if answer["status"] not in ("queued", "running") or time.monotonic() > end_s:
            raise ProofError(f"the count did not end well: {answer}")
        time.sleep(2)
    browser.get(f"/counts/{count_id}")
    browser.get(f"/api/v1/counts/{count_id}/overlay.jpg")
    truth = (answer.get("capture") or {}).get("true_count")
    shown = "" if truth is None else f" (the simulated camera shows {truth})"
    return f"{answer['image']}, {answer['count']} cells{shown}"
