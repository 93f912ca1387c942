"""A small version of the attack for every change; the tricks alone take minutes."""

import hostile
import pytest

from attacks import inputs
from attacks.figures import HEADER, Figures, read_row, write_row
from device.web import create_app


@pytest.mark.timeout(120)
def test_damaged_files_are_refused_or_read_and_never_end_the_program(tmp_path):
    figures = inputs.attack(tmp_path, 800, tricks=False)
    assert figures.sound, figures


QUICK = ("ring", "size", "header", "segments", "16-bit RGBA", "filter")


@pytest.mark.parametrize("name", QUICK)
def test_a_trick_is_answered_with_a_sentence(name, tmp_path):
    figures = Figures()
    client = create_app(inputs.make_service(tmp_path)).test_client()
    inputs._hand_in(client, hostile.TRICKS[name](), f"{name}.tif", figures)
    assert figures.sound, figures


def test_a_line_replaces_the_last_one_of_its_attack(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{HEADER}\n| b | 1 |\n\nMore.\n")
    for row in ("| a | 1 |", "| b | 2 |", "| b | 3 |"):
        write_row(page, row.split()[1], row)
    assert page.read_text() == f"# Title\n\n{HEADER}\n| a | 1 |\n| b | 3 |\n\nMore.\n"


def test_runs_add_up(tmp_path):
    page = tmp_path / "page.md"
    first = Figures(
        tried=12_000,
        lost=1,
        errors=2,
        longest_s=3.5,
        broken=["memory grew"],
        notes=["2 ended", "x"],
    )
    page.write_text(f"{HEADER}\n")
    write_row(page, "a", first.row("a"))
    second = Figures(tried=3000, hangs=1, longest_s=1.0, notes=["40 ended"])
    second.add(read_row(page, "a"))
    assert (
        second.row("a") == "| a | 15,000 | 1 | 0 | 0 | 2 | 0 | 1 | 3.5 | memory grew; 42 ended; x |"
    )
    assert read_row(page, "b") == Figures()
