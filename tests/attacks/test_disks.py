"""A small version of the attack for every change."""

import pytest

from attacks import disk, disks


def test_sick_disks_lose_nothing_and_the_page_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(disks, "SICK_S", 1.0)
    try:
        figures = disks.attack(tmp_path, 4)
    except disk.NoDisk as reason:
        pytest.skip(f"no disk to make sick: {reason}")
    assert figures.sound, figures
