import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device.config import StorageSettings
from device.models.card import MODELS_DIR
from device.store import DATABASE_NAME, open_store

ROOT = Path(__file__).parent.parent
SERVE = "from device.cli import main; main()"


@contextmanager
def serving(config: Path, *options: str, **environment: str) -> Iterator[str]:
    """`fluocount serve` as systemd would start it; READY=1 must come whatever is damaged."""
    address = config.parent / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "serve", "--config", str(config), *options],
            env=os.environ | {"NOTIFY_SOCKET": str(address)} | environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert b"READY=1" in systemd.recv(1000)
            line = process.stdout.readline()
            yield re.search(r"http://\S+", line)[0]
        finally:
            process.terminate()
            process.communicate(timeout=30)


def get(address: str) -> tuple[int, str]:
    request = urllib.request.Request(address, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def problems(address: str) -> dict[str, str]:
    found = json.loads(get(f"{address}/api/v1/status")[1])["problems"]
    return {problem["code"]: problem["text"] for problem in found}


def upload(address: str) -> tuple[int, str]:
    picture = (ROOT / "device/samples/neurons.jpg").read_bytes()
    body = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--x--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{address}/api/v1/counts", data=body, headers=kind)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fluocount.toml"
    path.write_text(
        f'[storage]\ndata_dir = "{tmp_path / "data"}"\nwarn_free_mb = 2\nrefuse_free_mb = 1\n'
        '[camera]\nkind = "simulated"\n[web]\nport = 0\n'
    )
    return path


@pytest.mark.slow
def test_no_camera(config: Path) -> None:
    with serving(config, "--camera", "pi") as address:
        assert get(f"{address}/")[0] == 200
        assert get(f"{address}/status")[0] == 200
        status = json.loads(get(f"{address}/api/v1/status")[1])
        assert status["camera"]["state"] != "ready"
        assert status["camera"]["text"]


@pytest.mark.slow
def test_damaged_settings(config: Path, tmp_path: Path) -> None:
    config.write_text("[web]\nprot = 80\n")
    with serving(config, "--port", "0", STATE_DIRECTORY=str(tmp_path / "state")) as address:
        assert get(f"{address}/")[0] == 200
        assert "prot" in problems(address)["settings"]
        assert upload(address)[0] == 503
    assert (tmp_path / "state" / DATABASE_NAME).exists()


@pytest.mark.slow
def test_damaged_model(config: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"damaged")
    (tmp_path / "model.json").write_text("{")
    with serving(config, "--model", str(tmp_path / "model.tflite")) as address:
        assert get(f"{address}/")[0] == 200
        assert "damaged" in problems(address)["model"]
        status, answer = upload(address)
        assert status == 503
        assert "damaged" in answer


@pytest.mark.slow
def test_model_that_is_not_the_one_of_its_card(config: Path, tmp_path: Path) -> None:
    shipped = sorted(MODELS_DIR.glob("*.tflite"))
    if not shipped:
        pytest.skip("no model is shipped")
    shutil.copy(shipped[0].with_suffix(".json"), tmp_path / "model.json")
    damaged = bytearray(shipped[0].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "model.tflite").write_bytes(damaged)
    with serving(config, "--model", str(tmp_path / "model.tflite")) as address:
        assert get(f"{address}/")[0] == 200
        assert "sha256" in problems(address)["model"]
        assert upload(address)[0] == 503


@pytest.mark.slow
def test_damaged_database(config: Path, tmp_path: Path) -> None:
    open_store(StorageSettings(data_dir=str(tmp_path / "data"))).close()
    damaged = b"not a database" * 1000
    (tmp_path / "data" / DATABASE_NAME).write_bytes(damaged)
    with serving(config) as address:
        assert get(f"{address}/")[0] == 200
        assert "restore" in problems(address)["storage"]
        assert upload(address)[0] == 507
    assert (tmp_path / "data" / DATABASE_NAME).read_bytes() == damaged


def test_damaged_database_where_a_login_is_needed(config: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / DATABASE_NAME).write_bytes(b"not a database" * 1000)
    with serving(config, "--host", "0.0.0.0") as address:
        port = address.rpartition(":")[2]
        status, page = get(f"http://127.0.0.1:{port}/")
        assert status == 507
        assert "restore" in page


@pytest.mark.slow
def test_unusable_data_folder(config: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with serving(config) as address:
        assert get(f"{address}/")[0] == 200
        assert "data" in problems(address)["storage"]


@pytest.mark.slow
def test_full_disk_is_said_and_nothing_is_accepted(config: Path) -> None:
    config.write_text(
        config.read_text().replace("= 2\n", f"= {10**9}\n").replace("= 1\n", f"= {10**9}\n")
    )
    with serving(config) as address:
        assert get(f"{address}/")[0] == 200
        assert "no new images are accepted" in problems(address)["disk"]


def test_everything_at_once(config: Path, tmp_path: Path) -> None:
    config.write_text("not even TOML = = \n")
    state = tmp_path / "state"
    state.mkdir()
    (state / DATABASE_NAME).write_bytes(b"not a database" * 1000)
    options = ("--port", "0", "--camera", "pi", "--model", str(tmp_path / "none.tflite"))
    with serving(config, *options, STATE_DIRECTORY=str(state)) as address:
        assert get(f"{address}/")[0] == 200
        assert {"settings", "storage", "model"} <= set(problems(address))
