import sys
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parent.parent / "systemd"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SYSTEMD))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def cells(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


def test_shift_is_the_largest_either_way() -> None:
    from prove_arm64 import largest_shift_px

    here = cells((10, 10), (50, 50))
    assert largest_shift_px(here, here) == 0
    assert largest_shift_px(here, cells((10, 10), (53, 54))) == 5
    assert largest_shift_px([], []) == 0
    assert largest_shift_px(here, []) == float("inf")
    assert largest_shift_px(cells((10, 10)), here) > 50


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
    from proof_root import Root

    monkeypatch.setenv("PIP_INDEX_URL", "https://registry.example/simple")
    monkeypatch.setenv("PIP_CERT", "/host/path.pem")
    monkeypatch.setenv("SECRET", "no")
    environment = Root(tmp_path, "bookworm").environment()
    assert environment["PIP_INDEX_URL"] == "https://registry.example/simple"
    assert not Path(environment["PIP_CERT"]).is_relative_to("/host")
    assert "SECRET" not in environment
