"""A small version of the attack for every change, with its control."""

import pytest

from attacks import disk, power, unsynced


def run(attack, folder, size):
    try:
        return attack(folder, size)
    except disk.NoDisk as reason:
        pytest.skip(f"no disk whose power can be cut: {reason}")


def test_power_cuts_lose_nothing(tmp_path):
    figures = run(power.attack, tmp_path, 6)
    assert figures.sound, figures


def test_a_store_that_never_syncs_loses_something(tmp_path):
    figures = run(unsynced.attack, tmp_path, 4)
    assert figures.lost > 0, figures
