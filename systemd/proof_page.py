"""Use the page of the emulated system of prove_arm64.py."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proof_root import UNIT, Root, say

PORT = 18080


@contextmanager
def page(root: Root) -> Iterator[str]:
    """The unit's own ExecStart behind a socket as systemd hands it over; gives the page's address."""
    unit = (root.folder / UNIT).read_text().splitlines()
    start = next(line.partition("=")[2] for line in unit if line.startswith("ExecStart="))
    (root.folder / "run/fluocount").mkdir(exist_ok=True)
    root.run("chown", "fluocount:", "/run/fluocount")
    activate = ["systemd-socket-activate", f"--listen={PORT}"]
    emulator = {"QEMU_CPU": root.environment()["QEMU_CPU"], "STATE_DIRECTORY": "/var/lib/fluocount"}
    for pair in root.as_service(**emulator)[5:]:
        activate.append(f"--setenv={pair}")
    command = ["chroot", root.folder, "runuser", "-u", "fluocount", "--", *activate]
    say(f"\n## ExecStart={start}")
    log = (root.folder.parent / f"serve-{root.release}.log").open("w")
    with (
        log,
        subprocess.Popen(
            [*command, *start.split()], env=root.environment(), stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{PORT}"
        finally:
            process.terminate()
            process.wait(120)


def ask(address: str, token: str = "", data: bytes | None = None, kind: str = "") -> dict:
    """A call of the API."""
    request = urllib.request.Request(address, data=data)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if kind:
        request.add_header("Content-Type", kind)
    with urllib.request.urlopen(request, timeout=300) as answer:
        text = answer.read()
    return json.loads(text) if text[:1] == b"{" else {"text": text.decode(errors="replace")}


def wait_for_page(address: str) -> None:
    """Until the page answers; the first call starts it."""
    for _ in range(60):
        with suppress(OSError):
            say(f"GET /healthz: {ask(f'{address}/healthz')}")
            return
        time.sleep(5)
    sys.exit("the page did not come up")


def use_page(root: Root, picture: Path) -> bool:
    """Upload one image and take one picture with the simulated camera; True when both count."""
    output = root.run(*root.as_service("fluocount", "token", "create", "proof")).stdout
    token = next(word for word in output.split() if word.startswith("flc_"))
    with page(root) as address:
        wait_for_page(address)
        boundary = "proof"
        body = (
            (
                f"--{boundary}\r\nContent-Disposition: form-data; name=image; "
                f'filename="{picture.name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
            ).encode()
            + picture.read_bytes()
            + f"\r\n--{boundary}--\r\n".encode()
        )
        kind = f"multipart/form-data; boundary={boundary}"
        uploaded = ask(f"{address}/api/v1/counts", token, body, kind)
        good = report(address, token, "upload", uploaded["id"])
        captured = ask(f"{address}/api/v1/captures", token, b"{}", "application/json")
        good &= report(address, token, "capture", captured["id"])
    root.run(*root.as_service("fluocount", "token", "revoke", "proof"))
    return good


def report(address: str, token: str, what: str, count_id: str) -> bool:
    """Wait for a count and print it."""
    while True:
        answer = ask(f"{address}/api/v1/counts/{count_id}", token)
        if answer["status"] not in ("queued", "running"):
            break
        time.sleep(2)
    truth = (answer.get("capture") or {}).get("true_count")
    say(
        f"{what}: {answer['image']} {answer['status']}, {answer.get('count')} cells"
        + (f" (the simulated camera shows {truth})" if truth is not None else "")
    )
    return answer["status"] == "done"
