from pathlib import Path

import pytest

from device import config
from device.config import load_settings, read_settings
from device.doctor.parts import check_settings
from device.doctor.verdict import load_patient
from device.errors import SettingsError
from device.moved_settings import Moved

MOVED = (
    Moved("web.upload_limit_mb", "web.largest_mb", "0.2"),
    Moved("store.folder", "storage.data_dir", "0.2"),
    Moved("camera.flicker_hz", None, "0.3"),
    Moved("web.largest_mb", "web.max_upload_mb", "0.4"),
)

OLD = """
[store]
folder = "/srv/counts"

[web]
upload_limit_mb = 7
port = 8081

[camera]
flicker_hz = 50
gain = 2.0
"""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "MOVED", MOVED)
    path = tmp_path / "fluocount.toml"
    path.write_text(OLD)
    return path


def test_what_was_chosen_under_an_old_name_stays_chosen(old: Path) -> None:
    settings, notes = read_settings(old)
    assert str(settings.data_dir) == "/srv/counts"
    assert (settings.web.max_upload_mb, settings.web.port) == (7, 8081)
    assert settings.camera.gain == 2.0
    assert len(notes) == len(MOVED)
    assert "web.largest_mb is called web.max_upload_mb since version 0.4" in notes[-1]
    assert old.read_text() == OLD


def test_doctor_names_the_keys_to_rename(old: Path) -> None:
    verdict = check_settings(load_patient(old))
    assert verdict.state == "warning"
    assert "camera.flicker_hz has no effect since version 0.3; delete it." in verdict.todo


def test_both_names_are_a_contradiction(old: Path) -> None:
    old.write_text("[web]\nupload_limit_mb = 7\nmax_upload_mb = 8\n")
    with pytest.raises(SettingsError, match=r"web\.largest_mb and its new name web\.max_upload_mb"):
        load_settings(old)


def test_a_typo_is_still_an_error(old: Path) -> None:
    old.write_text("[web]\nuplod_limit_mb = 7\n")
    with pytest.raises(SettingsError, match="uplod_limit_mb"):
        load_settings(old)


@pytest.mark.parametrize(
    "text", ["web = 3\n", "store = 3\n", 'storage = "a"\n[store]\nfolder = "b"\n']
)
def test_something_else_in_place_of_a_table_is_an_error(old: Path, text: str) -> None:
    old.write_text(text)
    with pytest.raises(SettingsError):
        load_settings(old)


def test_every_present_key_is_read_under_its_own_name() -> None:
    from device.moved_settings import MOVED as RELEASED

    sections = {
        field: getattr(config.Settings(), field) for field in config.Settings.__struct_fields__
    }
    present = {
        f"{name}.{key}" for name, table in sections.items() for key in table.__struct_fields__
    }
    assert not present & {move.old for move in RELEASED}
