from pathlib import Path

import pytest

from device.config import Settings, load_settings


def test_units_state_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/fluocount")
    assert str(Settings().data_dir) == "/var/lib/fluocount"
    (tmp_path / "a.toml").write_text('[storage]\ndata_dir = "/srv/counts"\n')
    assert str(load_settings(tmp_path / "a.toml").data_dir) == "/srv/counts"


def test_home_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert Settings().data_dir == Path.home() / ".local/share/fluocount"
