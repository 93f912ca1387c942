"""Cut-off and post-processing chosen together on annotated frames."""

import msgspec
import numpy as np
import pytest
from annotated import discs, example_of, frame_score
from conftest import make_card

from device.counting.pipeline import see_again
from trainer.fitting.runs import load_run, trains_alike
from trainer.scores.decision import (
    best_decision,
    combinations,
    decide,
    decision_of,
    detect,
    try_all,
    worth,
)
from trainer.scores.evaluate import pool_scores, recount, settings_for

CELLS = ((60, 60, 18), (60, 200, 18))
HAZE = ((150, 100, 18), (150, 220, 18))


def cells_and_haze(haze_code=100):
    labels = discs((200, 300), *CELLS)
    codes = np.where(labels > 0, 220, 0)
    codes[discs((200, 300), *HAZE) > 0] = haze_code
    return example_of(labels), codes.astype(np.uint8)


def test_the_threshold_between_cells_and_haze_is_chosen():
    example, codes = cells_and_haze()
    decisions = combinations(make_card(), (0.2, 0.3, 0.5, 0.7, 0.8))
    table = try_all([example], {example.name: codes}, make_card(), decisions)
    assert pool_scores(table[decisions[0]]).f1 == pytest.approx(2 / 3)
    assert best_decision(table).threshold >= 0.5


def test_a_least_peak_keeps_the_wide_mask_of_sure_objects_and_refuses_haze():
    labels = discs((200, 300), *CELLS)
    codes = np.where(labels > 0, 120, 0)
    codes[discs((200, 300), (60, 60, 8), (60, 200, 8)) > 0] = 240
    codes[discs((200, 300), *HAZE) > 0] = 120
    example = example_of(labels)
    decisions = combinations(make_card(), (0.3, 0.6), (0.0, 0.8))
    table = try_all([example], {example.name: codes.astype(np.uint8)}, make_card(), decisions)
    best = best_decision(table)
    assert (best.threshold, best.min_peak) == (0.3, 0.8)
    assert pool_scores(table[best]).cell_iou > 0.95


def test_detections_are_those_of_the_device():
    rng = np.random.default_rng(3)
    example, codes = cells_and_haze(haze_code=180)
    codes = np.clip(codes + rng.normal(0, 12, codes.shape), 0, 255).astype(np.uint8)[::2, ::2]
    base = msgspec.structs.replace(make_card(), cell_diameter_px=make_card().cell_diameter_px / 2)
    seen = see_again(example.frame, codes, base, settings_for(example, base))
    for decision in combinations(base, (0.3, 0.6), (0.0, 0.85), (0.35, 0.6), (0.1, 0.3)):
        card = decide(base, decision)
        assert decision_of(card) == decision
        ours = detect(seen, card).labels
        np.testing.assert_array_equal(ours, recount(example, codes, card).labels)


def test_equal_f1_goes_to_the_better_masks_and_a_better_f1_beats_them():
    first, second, third = combinations(make_card(), (0.3, 0.5, 0.7))
    table = {
        first: [frame_score(cell_iou=0.8, found=7, merged_found=7)],
        second: [frame_score(cell_iou=0.6)],
        third: [frame_score(cell_iou=0.5)],
    }
    assert best_decision(table) == second


def test_parting_clumps_is_not_given_up_for_the_strict_f1():
    parts, joins = combinations(make_card(), (0.5,), (), (0.3, 0.6))
    table = {
        parts: [frame_score(detections=13, found=10, merged_detections=10, merged_found=10)],
        joins: [frame_score(detections=8, found=8, merged_detections=8, merged_found=8)],
    }
    strict = {decision: pool_scores(frames).f1 for decision, frames in table.items()}
    assert strict[joins] > strict[parts]
    assert worth(pool_scores(table[parts])) > worth(pool_scores(table[joins]))
    assert best_decision(table) == parts


def test_of_equal_f1_and_masks_the_smaller_error_wins():
    even, off = combinations(make_card(), (0.3, 0.5))
    half = {"detections": 8, "found": 7, "merged_detections": 8, "merged_found": 7}
    table = {
        even: [frame_score(), frame_score()],
        off: [
            frame_score(**half),
            frame_score(
                **{**half, "detections": 12, "merged_detections": 12, "found": 9, "merged_found": 9}
            ),
        ],
    }
    assert pool_scores(table[even]).f1 == pool_scores(table[off]).f1
    assert best_decision(table) == even


def test_frames_left_out_have_no_say():
    low, high = combinations(make_card(), (0.3, 0.7))
    table = {
        low: [frame_score("a", found=9, merged_found=9), frame_score("b", found=2, merged_found=2)],
        high: [
            frame_score("a", found=8, merged_found=8),
            frame_score("b", found=8, merged_found=8),
        ],
    }
    assert best_decision(table) == high
    assert best_decision(table, frozenset({"b"})) == low


def test_a_peak_that_cannot_refuse_anything_is_not_tried_twice():
    decisions = combinations(make_card(), (0.5, 0.9), (0.0, 0.7))
    assert [(own.threshold, own.min_peak) for own in decisions] == [
        (0.5, 0.0),
        (0.5, 0.7),
        (0.9, 0.0),
    ]


def test_what_is_decided_after_a_training_does_not_make_it_another_one():
    run = load_run("fast")
    assert trains_alike(run, msgspec.structs.replace(run, thresholds=(0.5,), version="9"))
    assert not trains_alike(run, msgspec.structs.replace(run, seed=run.seed + 1))
