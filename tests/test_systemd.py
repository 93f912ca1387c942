import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from device.config import load_settings

SYSTEMD = Path(__file__).parent.parent / "systemd"
INSTALLER = SYSTEMD / "install.sh"
UNITS = ("fluocount.socket", "fluocount.service", "fluocount-watch@.service")
LARGEST_EXPOSURE = 2.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="laying out a root needs root")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_os_release(root: Path, codename: str) -> None:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/os-release").write_text(f"ID=debian\nVERSION_CODENAME={codename}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    write_os_release(folder, "bookworm")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        state = path.lstat()
        found[str(path.relative_to(folder))] = (state.st_mode, state.st_uid, content)
    return found


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(root: Path) -> None:
    system = Path("/usr/lib/systemd/system")
    shutil.copytree(system, root / str(system)[1:], symlinks=True)
    target = root / "etc/systemd/system"
    target.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(SYSTEMD / unit, target)
    program = root / "opt/fluocount/venv/bin/fluocount"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    names = ("fluocount.socket", "fluocount.service", "fluocount-watch@srv-microscope.service")
    done = run("systemd-analyze", "verify", f"--root={root}", *names)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("unit", ["fluocount.service", "fluocount-watch@.service"])
def test_units_are_hardened(unit: str) -> None:
    done = run("systemd-analyze", "security", "--offline=yes", SYSTEMD / unit)
    exposure = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= LARGEST_EXPOSURE


def test_camera_and_pins_stay_reachable() -> None:
    lines = (SYSTEMD / "fluocount.service").read_text().splitlines()
    allowed = {line.split("=")[1].split()[0] for line in lines if line.startswith("DeviceAllow=")}
    assert allowed == {
        "char-video4linux",
        "char-media",
        "char-dma_heap",
        "char-gpiochip",
        "/dev/vcio",
    }
    assert not any(line.startswith(("PrivateDevices=", "ProtectClock=")) for line in lines)
    assert "SupplementaryGroups=video gpio" in lines


def test_no_number_of_crashes_takes_the_page_down() -> None:
    lines = (SYSTEMD / "fluocount.service").read_text().splitlines()
    assert "StartLimitIntervalSec=0" in lines
    assert "Restart=on-failure" in lines
    assert "KillMode=mixed" in lines


def test_modules_of_the_allowed_device_classes_are_loaded_first() -> None:
    lines = (SYSTEMD / "fluocount.service").read_text().splitlines()
    for key in ("Wants", "After"):
        units = [word for line in lines if line.startswith(f"{key}=") for word in line[6:].split()]
        assert {"modprobe@mc.service", "modprobe@videodev.service"} <= {*units}


def wait_for_apt(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, SYSTEMD / "wait_for_apt.py", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_installer_waits_for_apt_and_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with wait_for_apt("--limit", "60", lock, tmp_path / "absent") as waiting:
            assert "another program installs or updates packages" in waiting.stdout.readline()
            fcntl.lockf(file, fcntl.LOCK_UN)
            assert waiting.wait(30) == 0


def test_installer_gives_up_on_apt_with_a_sentence(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with wait_for_apt("--limit", "0.1", lock) as waiting:
            assert "run the installer again" in waiting.communicate(timeout=30)[1]
            assert waiting.returncode == 1


def test_installer_waits_before_it_touches_packages() -> None:
    lines = INSTALLER.read_text().splitlines()
    first = min(number for number, line in enumerate(lines) if "logged dpkg" in line)
    assert any("wait_for_apt.py" in line for line in lines[:first])


def test_shipped_settings_are_valid_and_name_the_state_folder() -> None:
    settings = load_settings(SYSTEMD / "fluocount.toml")
    assert str(settings.data_dir) == "/var/lib/fluocount"


@needs_root
@needs_systemd
def test_installer_twice_is_installer_once(root: Path) -> None:
    first = run(INSTALLER, "--root", root)
    assert first.returncode == 0, first.stderr
    before = snapshot(root)
    assert "etc/systemd/system/multi-user.target.wants/fluocount.service" in before
    second = run(INSTALLER, "--root", root)
    assert second.returncode == 0, second.stderr
    assert snapshot(root) == before


@needs_root
@needs_systemd
def test_installer_leaves_settings_and_data_untouched(root: Path) -> None:
    assert run(INSTALLER, "--root", root).returncode == 0
    settings = root / "etc/fluocount/fluocount.toml"
    settings.write_text("[button]\nenabled = true\n")
    result = root / "var/lib/fluocount/results/abc/original.png"
    result.parent.mkdir(parents=True)
    result.write_bytes(b"precious")
    before = snapshot(root)
    for options in ([], ["--upgrade"], ["--uninstall"], []):
        done = run(INSTALLER, "--root", root, *options)
        assert done.returncode == 0, done.stderr
        assert result.read_bytes() == b"precious"
        assert settings.read_text() == "[button]\nenabled = true\n"
    assert snapshot(root) == before


@needs_root
@needs_systemd
def test_user_and_folders(root: Path) -> None:
    assert run(INSTALLER, "--root", root).returncode == 0
    groups = (root / "etc/group").read_text()
    assert re.search(r"^video:.*:fluocount$", groups, re.M)
    assert re.search(r"^gpio:.*:fluocount$", groups, re.M)
    uid = int(re.search(r"^fluocount:[^:]*:(\d+):", (root / "etc/passwd").read_text(), re.M)[1])
    data = (root / "var/lib/fluocount").stat()
    assert (data.st_uid, data.st_mode & 0o777) == (uid, 0o750)


@needs_root
@needs_systemd
def test_uninstall_removes_everything_but_settings_data_and_user(root: Path) -> None:
    assert run(INSTALLER, "--root", root).returncode == 0
    assert run(INSTALLER, "--root", root, "--uninstall").returncode == 0
    files = [name for name in snapshot(root) if (root / name).is_file()]
    ours = [name for name in files if "fluocount" in name]
    assert ours == ["etc/fluocount/fluocount.toml"]
    assert (root / "var/lib/fluocount").is_dir()


@pytest.mark.parametrize("codename", ["bullseye", "noble", ""])
def test_other_releases_are_refused(root: Path, codename: str) -> None:
    write_os_release(root, codename)
    done = run(INSTALLER, "--root", root)
    assert done.returncode == 1
    assert "Bookworm or Trixie" in done.stderr
    assert not (root / "etc/systemd").exists()


def test_32_bit_system_is_refused(root: Path, tmp_path: Path) -> None:
    dpkg = tmp_path / "bin/dpkg"
    dpkg.parent.mkdir()
    dpkg.write_text("#!/bin/sh\necho armhf\n")
    dpkg.chmod(0o755)
    path = f"{dpkg.parent}:{os.environ['PATH']}"
    done = run(INSTALLER, "--root", root, PATH=path)
    assert done.returncode == 1
    assert "64-bit" in done.stderr
    assert "armhf" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--colour"], "unknown option"), (["--root"], "needs a folder"), (["--root", "/no"], "/no")],
)
def test_wrong_options_are_refused(options: list[str], sentence: str) -> None:
    done = run(INSTALLER, *options)
    assert done.returncode == 1
    assert sentence in done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shell_is_clean() -> None:
    done = run("shellcheck", INSTALLER)
    assert done.returncode == 0, done.stdout
