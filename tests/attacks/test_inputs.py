"""A small version of the attack for every change; the tricks alone take minutes."""

import hostile
import pytest

from attacks import inputs
from attacks.figures import Figures
from device.web import create_app


@pytest.mark.timeout(120)
def test_damaged_files_are_refused_or_read_and_never_end_the_program(tmp_path):
    figures = inputs.attack(tmp_path, 800, tricks=False)
    assert figures.sound, figures


QUICK = ("ring", "header", "segments", "16-bit RGBA", "filter")


@pytest.mark.parametrize("name", QUICK)
def test_a_trick_is_answered_with_a_sentence(name, tmp_path):
    figures = Figures()
    client = create_app(inputs.make_service(tmp_path)).test_client()
    inputs._hand_in(client, hostile.TRICKS[name](), f"{name}.tif", figures)
    assert figures.sound, figures
