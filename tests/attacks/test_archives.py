"""A small version of the attack for every change."""

from attacks import archives


def test_every_trick_is_refused_and_damage_never_crashes(tmp_path):
    figures = archives.attack(tmp_path, len(archives.TRICKS) + 60)
    assert figures.sound, figures
