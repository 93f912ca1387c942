"""A small version of the attack for every change, without its figures of speed."""

import pytest

from attacks import workers
from attacks.figures import Figures


@pytest.mark.slow
def test_processes_that_are_killed_lose_and_double_nothing(tmp_path):
    frames, figures = 60, Figures()
    workers.make_frames(tmp_path / "in", frames)
    alone = workers.Run(tmp_path / "in", tmp_path / "alone")
    kills = workers.count_with_kills(tmp_path / "in", tmp_path / "spread", frames, figures)
    assert alone.wait() == 0
    assert kills >= 2
    workers.compare(tmp_path / "alone", tmp_path / "spread", figures)
    assert figures.sound, figures
    assert len(workers.read_rows(tmp_path / "spread" / "counts.csv")) == frames
