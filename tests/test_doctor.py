import http.server
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import fake_picamera2
import msgspec
import pytest
from click.testing import CliRunner

from device.cli import cli
from device.config import ButtonSettings, CameraSettings, Settings, StorageSettings
from device.doctor import CHECKS, Patient, examine, load_patient, machine, page, parts
from device.doctor.camera import STEPS, examine_camera
from device.doctor.verdict import failure, ok
from device.errors import ModelError
from device.machine.system import Throttling
from device.store import open_store


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(settings=with_storage(tmp_path / "data"), root=tmp_path)


def with_storage(data_dir: Path, **values: int) -> Settings:
    return Settings(storage=StorageSettings(data_dir=str(data_dir), **values))


def with_settings(patient: Patient, **sections: object) -> Patient:
    settings = msgspec.structs.replace(patient.settings, **sections)
    return msgspec.structs.replace(patient, settings=settings)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_every_check_has_a_verdict_even_when_one_raises(patient: Patient) -> None:
    def broken(_patient: Patient):
        raise ModelError("The model is damaged.")

    def unreadable(_patient: Patient):
        raise PermissionError(13, "Permission denied", "/dev/video0")

    checks = {"good": lambda _: ok("fine"), "bad": broken, "closed": unreadable}
    verdicts = examine(patient, checks)
    assert [(verdict.check, verdict.state) for verdict in verdicts] == [
        ("good", "ok"),
        ("bad", "failure"),
        ("closed", "failure"),
    ]
    assert verdicts[1].found == "The model is damaged."
    assert "/dev/video0" in verdicts[2].found


@pytest.mark.parametrize(
    ("codename", "state"), [("bookworm", "ok"), ("trixie", "ok"), ("noble", "warning")]
)
def test_releases(patient: Patient, codename: str, state: str) -> None:
    write(patient.root / "etc/os-release", f'PRETTY_NAME="X"\nVERSION_CODENAME={codename}\n')
    assert machine.check_system(patient).state == state


def test_power(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    words = Throttling(now=(), since_boot=("under-voltage",))
    monkeypatch.setattr(machine.system, "throttling", lambda _root: words)
    found = machine.check_power(patient)
    assert found.state == "warning"
    assert "since the start: under-voltage" in found.found
    assert "power supply" in found.todo


def test_heat(patient: Patient) -> None:
    write(patient.root / "sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    write(patient.root / "sys/class/thermal/thermal_zone0/temp", "84000")
    assert machine.check_power(patient).state == "warning"
    write(patient.root / "sys/class/thermal/thermal_zone0/temp", "51000")
    assert machine.check_power(patient).state == "ok"


@pytest.mark.parametrize(
    ("set_by_network", "state"), [(True, "ok"), (False, "warning"), (None, "ok")]
)
def test_clock(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, set_by_network: bool | None, state: str
) -> None:
    monkeypatch.setattr(machine.system, "clock_synchronised", lambda: set_by_network)
    assert machine.check_clock(patient).state == state


def test_small_memory(patient: Patient) -> None:
    write(patient.root / "proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 500000 kB\n")
    verdict = machine.check_memory(patient)
    assert verdict.state == "warning"
    assert "512 of 1024 MB" in verdict.found


@pytest.mark.parametrize(
    ("file", "text", "limited"),
    [
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids", False),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids", True),
        ("proc/cgroups", "#subsys_name hierarchy num_cgroups enabled\nmemory 0 80 0", False),
        ("proc/cgroups", "#subsys_name hierarchy num_cgroups enabled\nmemory 0 80 1", True),
        ("proc/version", "Linux", True),
    ],
)
def test_a_kernel_that_cannot_limit_memory(
    patient: Patient, file: str, text: str, limited: bool
) -> None:
    write(patient.root / "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 3500000 kB\n")
    write(patient.root / file, text)
    verdict = machine.check_memory(patient)
    assert verdict.state == "ok"
    assert ("cannot limit the memory" in verdict.found) != limited
    assert ("cgroup_enable=memory" in verdict.todo) != limited


def test_damaged_settings_are_a_failure(tmp_path: Path) -> None:
    write(tmp_path / "fluocount.toml", "[web]\nprot = 80\n")
    damaged = load_patient(tmp_path / "fluocount.toml")
    verdict = parts.check_settings(damaged)
    assert verdict.state == "failure"
    assert "prot" in verdict.found


def test_damaged_database_is_a_failure_and_stays_as_it_is(patient: Patient) -> None:
    open_store(patient.settings.storage).close()
    path = patient.settings.data_dir / "fluocount.sqlite"
    assert parts.check_data(patient).state == "ok"
    damaged = b"not a database" * 500
    path.write_bytes(damaged)
    for leftover in path.parent.glob("fluocount.sqlite-*"):
        leftover.unlink()
    verdict = parts.check_data(patient)
    assert verdict.state == "failure"
    assert "restore" in verdict.todo
    assert path.read_bytes() == damaged


def test_older_database_is_not_migrated(patient: Patient) -> None:
    patient.settings.data_dir.mkdir()
    with sqlite3.connect(patient.settings.data_dir / "fluocount.sqlite") as connection:
        connection.execute("CREATE TABLE counts (id)")
        connection.execute("INSERT INTO counts VALUES (1)")
    connection.close()
    assert "1 counts" in parts.check_data(patient).found
    with sqlite3.connect(patient.settings.data_dir / "fluocount.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize(
    ("warn_mb", "refuse_mb", "state"),
    [(1, 1, "ok"), (10**9, 1, "warning"), (10**9, 10**9, "failure")],
)
def test_disk_thresholds(tmp_path: Path, warn_mb: int, refuse_mb: int, state: str) -> None:
    settings = with_storage(tmp_path / "not/yet", warn_free_mb=warn_mb, refuse_free_mb=refuse_mb)
    assert parts.check_disk(Patient(settings=settings)).state == state


def test_simulated_camera_opens(patient: Patient) -> None:
    with_camera = with_settings(patient, camera=CameraSettings(kind="simulated"))
    assert "simulated" in parts.check_camera(with_camera).found


def test_missing_camera_does_not_keep_from_counting(patient: Patient) -> None:
    with_camera = with_settings(patient, camera=CameraSettings(kind="pi"))
    verdict = parts.check_camera(with_camera)
    assert verdict.state == "warning"
    assert verdict.todo


def pi(**changes: object) -> Patient:
    camera = CameraSettings(kind="pi", width_px=320, height_px=240, exposure_s=0.05, **changes)
    return Patient(settings=Settings(camera=camera))


def test_the_contract_of_the_camera() -> None:
    with fake_picamera2.installed():
        verdicts = {verdict.check: verdict for verdict in examine_camera(pi())}
    assert [*verdicts] == ["start", *STEPS]
    assert {verdict.state for name, verdict in verdicts.items() if name != "start"} == {"ok"}
    assert "4056 x 3040 at (0, 0) of 4056 x 3040" in verdicts["size"].found
    assert "tone curve follows the scene" in verdicts["start"].found


def test_a_camera_that_breaks_its_promises_is_found_out() -> None:
    with fake_picamera2.installed() as sensor:
        sensor.wrong_frames = 1000
        verdicts = {verdict.check: verdict for verdict in examine_camera(pi())}
    assert verdicts["controls"].state == "failure"
    assert "instead of" in verdicts["controls"].found
    assert verdicts["light"].state == "ok"  # it goes on with the next promise


def test_the_contract_of_a_camera_in_use_or_absent() -> None:
    with fake_picamera2.installed() as sensor:
        sensor.other_program = True
        [held] = examine_camera(pi())
        sensor.other_program, sensor.present = False, False
        [absent] = examine_camera(pi())
    assert (held.state, absent.state) == ("failure", "failure")
    assert "systemctl stop" in held.todo
    assert "ribbon cable" in absent.found


def test_the_contract_as_a_command(tmp_path: Path) -> None:
    settings = tmp_path / "fluocount.toml"
    write(
        settings,
        '[camera]\nkind = "simulated"\nwidth_px = 320\nheight_px = 240\nexposure_s = 0.01\n',
    )
    done = CliRunner().invoke(cli, ["doctor", "--camera", "--config", str(settings)])
    assert done.exit_code == 0, done.output
    assert "The camera works." in done.output
    assert "model" not in done.output


def test_button_without_pins(patient: Patient) -> None:
    assert parts.check_pins(patient).state == "ok"
    with_button = with_settings(patient, button=ButtonSettings(enabled=True))
    assert parts.check_pins(with_button).state == "warning"


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer if self.path == "/healthz" else b"")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as running:
        running.answer = b'{"status": "ok"}'
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_page_answers(server: http.server.HTTPServer) -> None:
    assert page.check(server.server_port).state == "ok"


def test_page_that_is_not_well(server: http.server.HTTPServer) -> None:
    server.answer = b'{"status": "degraded"}'
    assert page.check(server.server_port).state == "warning"


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b"{}", b""])
def test_port_of_somebody_else(server: http.server.HTTPServer, answer: bytes) -> None:
    server.answer = answer
    verdict = page.check(server.server_port)
    assert verdict.state == "failure"
    assert str(server.server_port) in verdict.found


def test_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    assert "free" in page.check(number).found


def test_port_comes_from_the_socket_unit(tmp_path: Path) -> None:
    assert page.port(tmp_path, 8080) == 8080
    unit = (Path(__file__).parent.parent / "systemd/fluocount.socket").read_text()
    write(tmp_path / "etc/systemd/system/fluocount.socket", unit)
    assert page.port(tmp_path, 8080) == 80
    override = tmp_path / "etc/systemd/system/fluocount.socket.d/override.conf"
    write(override, "[Socket]\nListenStream=\nListenStream=0.0.0.0:8000\n")
    assert page.port(tmp_path, 8080) == 8000


@pytest.mark.parametrize(("state", "status"), [("ok", 0), ("warning", 0), ("failure", 1)])
def test_exit_status_says_whether_counting_works(
    monkeypatch: pytest.MonkeyPatch, state: str, status: int
) -> None:
    verdict = msgspec.structs.replace(failure("found", "do this"), state=state)
    monkeypatch.setattr("device.commands.doctor.examine", lambda _: [verdict.under("disk")])
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == status
    assert "disk" in done.output
    assert "-> do this" in done.output


def test_json_is_one_object_per_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "device.commands.doctor.examine", lambda _: [ok("a").under("x"), ok("b").under("y")]
    )
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    assert [json.loads(line)["check"] for line in done.output.splitlines()] == ["x", "y"]


def test_check_names_are_those_of_the_manual() -> None:
    manual = (Path(__file__).parent.parent / "docs/appliance.md").read_text()
    missing = [name for name in CHECKS if f"`{name}`" not in manual]
    assert not missing
