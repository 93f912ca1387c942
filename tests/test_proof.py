import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from appliance import answering, make_service, png

from device.web.login import setup_code

ROOT = Path(__file__).parent.parent
SYSTEMD = ROOT / "systemd"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SYSTEMD))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def cells(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


def count_of(*points: tuple[float, float], sha256: str = "a" * 64) -> dict:
    model = {"name": "fast", "version": "1", "sha256": sha256}
    found = cells(*points)
    versions = {"numpy": "1"}
    return {
        "image": "a.png",
        "count": len(found),
        "cells": found,
        "model": model,
        "versions": versions,
    }


def test_shift_is_the_largest_either_way() -> None:
    from proof_counts import largest_shift_px

    here = cells((10, 10), (50, 50))
    assert largest_shift_px(here, here) == 0
    assert largest_shift_px(here, cells((10, 10), (53, 54))) == 5
    assert largest_shift_px([], []) == 0
    assert largest_shift_px(here, []) == float("inf")
    assert largest_shift_px(cells((10, 10)), here) > 50


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        (((10, 10), (50.5, 50)), True),
        (((10, 10), (52, 50)), False),
        (((10, 10),), False),
        (((10, 10), (50, 50), (50, 50)), False),
    ],
)
def test_same_means_as_many_cells_at_the_same_places(theirs: tuple, same: bool) -> None:
    from proof_counts import compare

    line, agreed = compare(count_of((10, 10), (50, 50)), count_of(*theirs))
    assert agreed is same
    assert line.endswith("same" if same else "DIFFERENT")


def test_counts_of_different_models_are_not_compared() -> None:
    from proof_counts import head
    from proof_steps import ProofError

    assert "fast 1" in next(head(count_of(), count_of()))
    with pytest.raises(ProofError, match="not the same model"):
        next(head(count_of(), count_of(sha256="b" * 64)))


def test_page_runs_with_the_units_own_variables(tmp_path: Path) -> None:
    from proof_root import UNIT, Root

    target = tmp_path / UNIT
    target.parent.mkdir(parents=True)
    target.write_text((SYSTEMD / "fluocount.service").read_text())
    command = Root(tmp_path, "bookworm").as_service("fluocount", "doctor", STATE_DIRECTORY="/x")
    assert command[:5] == ["runuser", "-u", "fluocount", "--", "env"]
    assert "FLUOCOUNT_CONFIG=/etc/fluocount/fluocount.toml" in command
    assert "LG_WD=/run/fluocount" in command
    assert command[-3:] == ["STATE_DIRECTORY=/x", "fluocount", "doctor"]


def test_registries_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proof_root import Root, pip_settings

    monkeypatch.setenv("PIP_INDEX_URL", "https://registry.example/simple")
    monkeypatch.setenv("PIP_CERT", "/host/path.pem")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    monkeypatch.setenv("SECRET", "no")
    environment = Root(tmp_path, "bookworm").environment()
    assert environment["https_proxy"] == "http://proxy.example"
    assert "SECRET" not in environment
    settings = pip_settings()
    assert "index-url = https://registry.example/simple\n" in settings
    assert "/host" not in settings


def test_commands_are_those_of_the_readme() -> None:
    from prove_arm64 import readme_commands, with_option

    commands = readme_commands((ROOT / "README.md").read_text())
    assert commands == ["sudo ./systemd/install.sh", "sudo fluocount doctor"]
    assert with_option(commands[0]) == "sudo ./systemd/install.sh --without-hardware"
    assert with_option(commands[1]) == commands[1]


def test_a_finished_step_is_kept_and_a_failed_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from proof_steps import ProofError, Steps

    done = []

    def good() -> Iterator[str]:
        done.append("good")
        yield "a line"

    def bad() -> Iterator[str]:
        yield "half a line"
        raise ProofError("broken")

    steps = Steps(tmp_path)
    steps.run("one", "One", good)
    with pytest.raises(ProofError, match="broken"):
        steps.run("two", "Two", bad)
    assert (steps.finished("one"), steps.finished("two")) == (True, False)
    capsys.readouterr()

    Steps(tmp_path).run("one", "One", good)
    assert done == ["good"]
    assert "## One\n\na line\n" in capsys.readouterr().out
    Steps(tmp_path, again=("one",)).run("one", "One", good)
    assert done == ["good", "good"]
    steps.forget()
    assert not steps.finished("one")


@contextmanager
def served(data_dir: Path) -> Iterator[str]:
    """An appliance behind an inherited socket, so that it asks for a login."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        service = make_service(data_dir)
        service.start()
        setup_code(service.require_store())
        with answering(service, [listening]):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_visitor_sets_up_counts_and_logs_in_again(tmp_path: Path) -> None:
    from proof_page import CODE_FILE, Browser, log_in, wait_for_count
    from proof_root import Root

    root = Root(tmp_path / "root", "bookworm")
    code = root.folder / CODE_FILE
    picture = tmp_path / "discs.png"
    picture.write_bytes(png(cells=3))
    with served(code.parent) as address:
        first = Browser(address)
        assert "password chosen" in log_in(root, first)
        assert wait_for_count(first, first.upload(picture)) == "discs.png, 3 cells"
        captured = first.call("/captures", b"{}")["id"]
        assert "simulated camera shows" in wait_for_count(first, captured)
        assert "chosen before" in log_in(root, Browser(address))


def test_a_visitor_without_the_code_counts_nothing(tmp_path: Path) -> None:
    from proof_page import Browser
    from proof_steps import ProofError

    with served(tmp_path) as address, pytest.raises(ProofError, match="401"):
        Browser(address).upload(ROOT / "device/samples/neurons.jpg")


def test_real_images_come_from_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proof_counts import real_images

    for part, number in (("fnc_red", 2), ("fnc_yellow", 40), ("other", 3)):
        folder = tmp_path / part / "images"
        folder.mkdir(parents=True)
        for i in range(number):
            (folder / f"{part}-{i:02}.png").touch()
    monkeypatch.setenv("FLUOCOUNT_DATA", str(tmp_path))
    names = [path.name for path in real_images()]
    assert names == ["fnc_red-00.png", "fnc_red-01.png", "fnc_yellow-10.png", "fnc_yellow-30.png"]
    monkeypatch.delenv("FLUOCOUNT_DATA")
    assert real_images() == []


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_kept_proof_is_whole_and_names_no_machine(release: str) -> None:
    text = (ROOT / f"docs/arm64-{release}.txt").read_text()
    assert text.startswith(f"## {release}, arm64, emulated\n\naarch64\n")
    for command in ("install.sh --without-hardware", "install.sh --upgrade", "fluocount doctor"):
        assert f"$ sudo ./systemd/{command}" in text or f"$ sudo {command}" in text
    assert text.count("  same\n") >= 9
    assert "DIFFERENT" not in text
    assert text.rstrip().endswith("PROVED: installed from nothing, counts as x86 does")
    paths = re.findall(r"(?<![\w./:])/\w+", text)
    assert set(paths) <= {"/etc", "/opt", "/sys", "/var"}
