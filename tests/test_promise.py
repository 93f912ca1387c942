"""What an interval promises beside a warning, from the count to the tables."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_discs, make_card, make_confidence, make_frame
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct

from device.counting.confidence.promise import (
    MISSING,
    UNTESTED,
    hold_both,
    holds,
    interval_words,
    limit_promise,
)
from device.counting.pipeline import count_frame, relabel
from device.counting.readings import SCALE_FLAG, SETTLING_FLAGS
from device.counting.records import CountSettings, Flag
from device.export.tables import counts_header, counts_row
from device.jobs.relabelling import keep_known
from device.models.card import find_model
from device.models.interpreter import load_segmenter
from device.synthetic import SyntheticSettings
from device.synthetic import make_frame as synthetic_frame

ROOT = Path(__file__).parents[1]
PROMISED = {
    "annotations": "what is drawn is left out of the image and of the count",
    "missing_tiles": "as if the image ended there",
    "scale": "the interval holds the count with either diameter",
    "transparent": "as if the image ended there",
}
"""Warnings beside which the interval holds, and why."""

intervals = st.tuples(st.integers(0, 99), st.one_of(st.none(), st.integers(99, 200)))


def flags(*codes: str) -> tuple[Flag, ...]:
    return tuple(Flag(code=code, text="") for code in codes)


def test_every_warning_says_what_it_takes_from_the_interval():
    sources = (ROOT / "device" / "counting").rglob("*.py")
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    raised = set(re.findall(r'code="(\w+)"', text)) | {SCALE_FLAG}
    assert raised == MISSING | UNTESTED | set(PROMISED)


@given(intervals, st.sets(st.sampled_from(sorted(MISSING | UNTESTED | set(PROMISED)))))
def test_a_warning_never_narrows(interval, codes):
    limited = limit_promise(interval, flags(*codes))
    assert hold_both(limited, interval) == limited
    assert limit_promise(limited, flags(*codes)) == limited
    if codes <= set(PROMISED):
        assert limited == interval


@given(intervals, intervals, st.integers(0, 250))
def test_two_intervals_in_one(one, other, count):
    both = hold_both(one, other)
    if holds(one, count) or holds(other, count):
        assert holds(both, count)


@pytest.mark.parametrize(
    ("interval", "words"),
    [((3, 8), "3 to 8"), ((3, None), "at least 3"), ((0, None), "not known"), ((0, 0), "0 to 0")],
)
def test_words(interval, words):
    assert interval_words(interval) == words


def test_all_that_only_the_run_of_a_network_tells_is_known():
    text = (ROOT / "device" / "counting" / "readings.py").read_text(encoding="utf-8")
    raised = set(re.findall(r'code="(\w+)"', text)) | {SCALE_FLAG}
    assert raised == SETTLING_FLAGS


@pytest.mark.parametrize("code", sorted(SETTLING_FLAGS))
def test_who_labels_again_promises_no_more_than_the_count_did(code):
    card, settings = make_card(), CountSettings(cell_diameter_px=37.0, threshold=0.4)
    probability = np.where(draw_discs((120, 120), [(60, 60, 37)]) > 0, 250, 0).astype(np.uint8)
    frame = make_frame(np.full((120, 120), 90, np.uint8))
    again = relabel(frame, probability, card, settings).result
    doubts = flags(code)
    wide = limit_promise((0, 50), doubts)
    kept = keep_known(again, replace_struct(again, flags=doubts, interval=wide))
    assert code in {flag.code for flag in kept.flags}
    assert hold_both(kept.interval, again.interval) == kept.interval
    assert kept.interval[1] is None if code in MISSING else kept.interval == wide


@pytest.mark.parametrize(("code", "is_unsure"), [(120, True), (250, False)])
def test_where_the_network_is_unsure_nothing_is_promised_above(code, is_unsure):
    card = make_card(confidence=make_confidence(most_doubt=1.5))
    frame = make_frame(np.full((120, 120), 90, np.uint8))
    probability = np.where(draw_discs((120, 120), [(60, 60, 37)]) > 0, code, 0).astype(np.uint8)
    settings = CountSettings(cell_diameter_px=37.0, threshold=0.4)
    result = relabel(frame, probability, card, settings).result
    assert ("unsure" in {flag.code for flag in result.flags}) == is_unsure
    assert (result.interval[1] is None) == is_unsure
    assert result.count == 1


def test_a_stain_that_the_model_does_not_know_is_never_a_sure_zero():
    frame = synthetic_frame(3, SyntheticSettings(width_px=800, height_px=600, cells=8)).frame
    green = replace(frame, image=np.ascontiguousarray(frame.image[..., [2, 0, 1]]))
    result = count_frame(green, load_segmenter(find_model("fast"), 1), CountSettings()).result
    assert "wrong_stain" in {flag.code for flag in result.flags}
    assert result.interval[1] is None
    assert holds(result.interval, 10_000)
    row = dict(zip(counts_header(), counts_row(result), strict=True))
    assert (row["interval_low"], row["interval_high"]) == (str(result.interval[0]), "")
