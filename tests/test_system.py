from pathlib import Path

import pytest

from device.machine import system
from device.machine.system import Throttling, parse_throttling


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def fake_program(folder: Path, name: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    system._output_since.cache_clear()


@pytest.fixture(autouse=True)
def ask_afresh() -> None:
    system._output_since.cache_clear()


def test_processor_zone_is_preferred(tmp_path: Path) -> None:
    thermal = tmp_path / "sys/class/thermal"
    write(thermal / "thermal_zone0/type", "acpitz\n")
    write(thermal / "thermal_zone0/temp", "20000\n")
    write(thermal / "thermal_zone1/type", "cpu-thermal\n")
    write(thermal / "thermal_zone1/temp", "61234\n")
    assert system.temperature_c(tmp_path) == pytest.approx(61.234)


def test_unknown_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system.temperature_c(tmp_path) is None
    assert system.throttling(tmp_path) is None
    assert system.memory(tmp_path) is None
    assert system.clock_synchronised() is None
    assert system.pi_model(tmp_path) is None


def test_bits_now_and_since_boot_differ() -> None:
    assert parse_throttling(0) == Throttling(now=(), since_boot=())
    assert parse_throttling(0x50000) == Throttling(
        now=(), since_boot=("under-voltage", "throttled")
    )
    assert parse_throttling(0xA) == Throttling(
        now=("frequency capped", "soft temperature limit"), since_boot=()
    )


def test_firmware_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    fake_program(tmp_path / "bin", "vcgencmd", "throttled=0x50005", monkeypatch)
    both = ("under-voltage", "throttled")
    assert system.throttling(tmp_path) == Throttling(now=both, since_boot=both)


def test_kernels_alarm_without_firmware_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path / "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(tmp_path / "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert system.throttling(tmp_path) == Throttling(now=("under-voltage",), since_boot=())


@pytest.mark.parametrize(("answer", "expected"), [("yes", True), ("no", False), ("", None)])
def test_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool | None
) -> None:
    fake_program(tmp_path / "bin", "timedatectl", answer, monkeypatch)
    assert system.clock_synchronised() is expected


def test_memory_of_this_machine() -> None:
    memory = system.memory()
    assert memory is not None
    assert 0 < memory.available_mb <= memory.total_mb


def test_conditions_are_plain_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_program(tmp_path / "bin", "vcgencmd", "throttled=0x1", monkeypatch)
    conditions = system.conditions()
    assert conditions["throttling"] == {"now": ("under-voltage",), "since_boot": ()}
    assert set(conditions) == {"temperature_c", "throttling", "clock_synchronised"}
