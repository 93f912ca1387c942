"""Small versions of the attacks on the whole appliance, for every change."""

import pytest

from attacks import clients, forged, kill, soak, uploads

ATTACKS = [(kill, 4), (uploads, 100), (forged, 200), (clients, 150), (soak, 60)]


@pytest.mark.parametrize(("attack", "size"), ATTACKS)
def test_nothing_is_lost_and_nobody_gets_in(tmp_path, attack, size):
    figures = attack.attack(tmp_path, size)
    assert figures.sound, figures
