"""The fit of probabilities, spread and ranges: known truths come back, and what is measured is honest."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from conftest import (
    DATA_DIR,
    USUAL,
    draw_discs,
    make_card,
    make_confidence,
    make_frame,
)

from device.assays.evidence import Evidence
from device.assays.fitting import (
    choose_least,
    fit_evidence,
    fit_frame_sd,
    fit_spreads,
    interval_of,
    left_out,
)
from device.assays.regression import fit_logistic
from device.assays.usual import normal_frame
from device.counting.card import ModelCard, Range
from device.counting.confidence.features import FEATURES
from device.counting.confidence.flags import frame_flags
from device.counting.confidence.probabilities import cell_probabilities, sigmoid
from device.synthetic import SyntheticSettings, vary_settings
from device.synthetic import make_frame as make_synthetic
from trainer.confidence.colours import fit_colours
from trainer.confidence.evidence import UnseenFrame, fit_confidence, gather
from trainer.confidence.flagrates import corrupted_rates, light_statistics, normal_rates
from trainer.confidence.report import bins, coverage_table, write_confidence_report
from trainer.fitting.neutral import neutral_confidence
from trainer.fitting.segmenter import save_card
from trainer.frames.corrupt import CORRUPTIONS, corrupt
from trainer.frames.example import Example

TRUE_WEIGHTS = np.array([1.6, 0.4, 0.8, 0.0, 0.5, -0.3, 0.0])
"""The last is the frame's: in frames of fewer than six sets it must not decide."""


def simulated(frames, objects, frame_sd=0.0, seed=1, folds=5):
    """Evidence whose truth follows the model of device.counting.confidence.probabilities."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(frames):
        features = rng.normal(0, 1.5, (objects, len(FEATURES)))
        log_odds = features @ TRUE_WEIGHTS - 0.3
        is_cell = rng.random(objects) < sigmoid(log_odds + rng.normal(0, frame_sd))
        counted = np.argsort(log_odds < 0, kind="stable")
        made.append(
            Evidence(
                name=f"frame-{number}",
                fold=number % folds,
                width=400,
                features=features[counted],
                is_cell=is_cell[counted],
                plausible=int((log_odds >= 0).sum()),
                targets=int(is_cell.sum()),
                doubt=0.0,
                statistics=USUAL,
            )
        )
    return made


def annotated(grey_levels, cells, name="frame.png"):
    """Discs of these brightnesses of which the first `cells` are targets, as the fake network sees them."""
    shape = (120, 60 * len(grey_levels))
    image, labels = np.full(shape, 10, np.uint8), np.zeros(shape, np.int32)
    for index, level in enumerate(grey_levels):
        disc = draw_discs(shape, [(30 + 60 * index, 60, 37)]) > 0
        image[disc] = level
        if index < cells:
            labels[disc] = index + 1
    frame = make_frame(image, source=name)
    return Example(frame=frame, labels=labels, scale=1.0, group=name, source="made", held_out=True)


def test_known_weights_come_back():
    fitted = fit_logistic(simulated(60, 60), make_confidence())
    found = [getattr(fitted, name).coefficient / getattr(fitted, name).sd for name in FEATURES]
    assert found == pytest.approx(TRUE_WEIGHTS, rel=0.15, abs=0.08)
    chances = cell_probabilities(np.array([[0.0] * 7, [1.0] * 7]), fitted)
    assert chances == pytest.approx(sigmoid(np.array([-0.3, 2.7])), abs=0.04)


def test_the_fit_leans_less_on_grey_levels_than_on_what_no_exposure_changes():
    frames = simulated(60, 60)
    for frame in frames:
        frame.features[:, FEATURES.index("detail")] = frame.features[:, FEATURES.index("score")] / 5
    fitted = fit_logistic(frames, make_confidence())
    assert fitted.score.coefficient > 3 * fitted.detail.coefficient > 0


def test_probabilities_of_new_objects_are_their_frequencies():
    fitted = fit_logistic(simulated(60, 60), make_confidence())
    for chance, share, number in bins([(frame, fitted) for frame in simulated(200, 60, seed=2)]):
        assert chance == pytest.approx(share, abs=4 * np.sqrt(0.25 / number))


@pytest.mark.parametrize("frame_sd", [0.0, 0.8, 1.6])
def test_spread_between_frames_comes_back(frame_sd):
    frames = simulated(120, 40, frame_sd, seed=3)
    truth = [sigmoid(frame.features @ TRUE_WEIGHTS - 0.3) for frame in frames]
    found = fit_frame_sd(truth, [frame.targets for frame in frames])
    assert found == pytest.approx(frame_sd, abs=0.35)


@pytest.mark.parametrize("frame_sd", [0.0, 1.0])
def test_coverage_of_frames_left_out_is_as_promised(frame_sd):
    fitted = fit_evidence(simulated(60, 30, frame_sd, folds=3), make_card())
    assert 0.83 <= fitted.coverage <= 1.0
    fresh = simulated(300, 30, frame_sd, seed=9)
    assert 0.86 <= np.mean([interval_of(frame, fitted).inside for frame in fresh]) <= 0.98


def of_many_sets(missed_share):
    """Six sets; in each the last frames are very doubtful, and more cells are missed than any object shows."""
    frames = []
    for number in range(6):
        for index, frame in enumerate(simulated(10, 30, seed=number)):
            unclear = index >= 10 * (1 - missed_share)
            targets = 5 * frame.targets + 40 if unclear else frame.targets
            doubt = 2.5 if unclear else -1.0
            frames.append(replace(frame, source=f"set {number}", doubt=doubt, targets=targets))
    return frames


def test_what_no_spread_holds_is_left_open_in_doubtful_frames():
    frames = of_many_sets(missed_share=0.3)
    fitted = fit_spreads(frames, fit_logistic(frames, make_confidence()))
    assert -1.0 < fitted.most_doubt < 2.5
    for frame in frames:
        assert interval_of(frame, fitted).is_kept(fitted.most_doubt) or frame.doubt < 0
    sure = [interval_of(frame, fitted) for frame in frames if frame.doubt < 0]
    assert np.mean([own.inside for own in sure]) >= 0.85


def test_a_clear_frame_is_promised_more_exactly_than_a_doubtful_one():
    rng, frames = np.random.default_rng(4), []
    for number in range(6):
        for index, frame in enumerate(simulated(12, 40, seed=number)):
            doubt = -1.5 if index % 2 else 1.0
            factor = 1.0 if doubt < 0 else rng.choice([0.5, 1.0, 1.7])
            targets = round(factor * frame.targets)
            frames.append(replace(frame, source=f"set {number}", doubt=doubt, targets=targets))
    fitted = fit_spreads(frames, fit_logistic(frames, make_confidence()))
    assert fitted.count_slope > 0
    intervals = [interval_of(frame, fitted) for frame in frames]
    assert np.mean([own.inside for own in intervals]) >= 0.9
    clear, doubtful = (
        [own.width(9.0) for own in intervals if own.frame.doubt == d] for d in (-1.5, 1.0)
    )
    assert 2 * np.median(clear) < np.median(doubtful)


def test_teaching_knows_the_doubt_of_the_frames_that_it_saw():
    frames = [replace(frame, doubt=3.0) for frame in simulated(12, 30)]
    assert fit_spreads(frames, make_confidence(most_doubt=1.5)).most_doubt == 3.0
    assert fit_spreads(frames, make_confidence(most_doubt=None)).most_doubt is None
    missed = replace(frames[0], doubt=9.0, targets=10_000)
    assert fit_spreads([*frames, missed], make_confidence(most_doubt=1.5)).most_doubt == 3.0


def test_no_frame_is_judged_by_a_fit_that_saw_its_fold():
    frames = [
        frame if frame.fold else replace(frame, is_cell=~frame.is_cell)
        for frame in simulated(30, 30)
    ]
    without = {frame.name: own for frame, own in left_out(frames, make_card())}
    assert without["frame-0"].score.coefficient > without["frame-1"].score.coefficient


@pytest.mark.parametrize("truth", [True, False])
def test_objects_of_one_kind_do_not_break_the_fit(truth):
    frames = [replace(frame, is_cell=np.full(10, truth)) for frame in simulated(6, 10)]
    fitted = fit_logistic(frames, make_confidence())
    chances = cell_probabilities(frames[0].features, fitted)
    assert np.isfinite(chances).all()
    assert ((chances > 0.5) == truth).all()


def test_the_least_probability_balances_missed_and_wrong_cells():
    frames = simulated(60, 60)
    terms = fit_logistic(frames, make_confidence())
    everything = [replace(frame, plausible=60) for frame in frames]
    chosen = choose_least(everything, terms, (0.02, 0.45, 0.98))
    assert chosen.least_probability == 0.45
    judged = [frame.judge(chosen) for frame in everything]
    assert sum(own.count for own in judged) == pytest.approx(
        sum(frame.targets for frame in frames), rel=0.1
    )
    assert choose_least(everything, terms, ()).least_probability == 0


def test_the_least_probability_is_chosen_without_the_fold_that_it_judges():
    frames = [replace(frame, plausible=30) for frame in simulated(40, 30, folds=2)]
    frames = [
        frame if frame.fold else replace(frame, is_cell=np.ones(30, bool), targets=30)
        for frame in frames
    ]
    without = {
        frame.fold: own.least_probability
        for frame, own in left_out(frames, make_card(), (0.1, 0.5))
    }
    assert without == {0: 0.5, 1: 0.1}


def test_frames_without_objects_do_not_break_the_fit():
    nothing = simulated(4, 0)
    assert fit_evidence(nothing, make_card()).coverage == 1.0


def test_objects_are_cells_where_they_match_a_target():
    card = make_card(confidence=neutral_confidence(0.5))
    example = annotated([255, 250, 110, 200, 100], cells=3)
    evidence = gather(UnseenFrame(example, example.frame.image.max(axis=2), 0), card)
    assert (evidence.plausible, evidence.targets) == (3, 3)
    assert evidence.is_cell.tolist() == [True, True, False, True, False]


def test_a_candidate_does_not_take_the_target_of_a_counted_cell():
    example = annotated([255, 100], cells=1)
    card = make_card(confidence=neutral_confidence(0.5))
    evidence = gather(UnseenFrame(example, example.frame.image.max(axis=2), 0), card)
    assert evidence.is_cell.tolist() == [True, False]


def test_a_whole_section_is_fitted_from_frames_and_maps():
    rng = np.random.default_rng(0)
    frames = []
    for number in range(12):
        cells = int(rng.integers(1, 5))
        bright = rng.integers(150, 256, cells).tolist()
        dim = rng.integers(60, 180, 6 - cells).tolist()
        example = annotated([*bright, *dim], cells, f"frame-{number}.png")
        frames.append(UnseenFrame(example, example.frame.image.max(axis=2), number % 3))
    card = make_card(confidence=neutral_confidence(0.5))
    fitted = fit_confidence(frames, card)
    assert fitted.frames == 12
    assert "3 parts" in fitted.fitted_on
    assert fitted.coverage is not None
    assert 0 < fitted.candidate_threshold < card.threshold
    assert fitted.score.coefficient > 0
    decoded = msgspec.json.decode(msgspec.json.encode(fitted), type=type(fitted))
    assert decoded == fitted


def test_a_neutral_section_says_that_it_is_a_guess_and_is_wide():
    neutral = neutral_confidence(0.6)
    assert neutral.frames == 0
    assert neutral.coverage is None
    assert "not calibrated" in neutral.fitted_on
    assert neutral.frame_sd > 1


def test_ranges_leave_room_and_judge_only_the_side_that_means_trouble():
    spread = [
        msgspec.structs.replace(USUAL, background=float(level), sharpness=sharpness)
        for level, sharpness in ((2, 0.3), (30, None), (50, 0.4))
    ]
    normal = normal_frame(spread)
    assert normal.background.low is None
    assert normal.background.high > 60
    assert 0.2 < normal.sharpness.low < 0.3
    assert all(frame_flags(frame, normal) == () for frame in spread)


def test_a_statistic_that_no_frame_has_is_not_judged():
    normal = normal_frame([msgspec.structs.replace(USUAL, cell_size_ratio=None)])
    assert normal.cell_size_ratio == Range(low=None, high=None)


DIAMETER_PX = 9.5


@pytest.fixture(scope="module")
def synthetic_frames():
    base = SyntheticSettings(width_px=400, height_px=300, cell_diameter_px=DIAMETER_PX)
    return [make_synthetic(seed, vary_settings(seed, base)).frame for seed in range(40)]


@pytest.fixture(scope="module")
def usual(synthetic_frames):
    card = make_card(cell_diameter_px=DIAMETER_PX)
    return normal_frame([light_statistics(f, card, DIAMETER_PX) for f in synthetic_frames[:30]])


@pytest.fixture(scope="module")
def good_frames():
    base = SyntheticSettings(width_px=400, height_px=300, cell_diameter_px=DIAMETER_PX, cells=15)
    return [make_synthetic(seed, base).frame for seed in range(4)]


def codes(frame, usual):
    card = make_card(cell_diameter_px=DIAMETER_PX)
    statistics = light_statistics(frame, card, DIAMETER_PX)
    return {flag.code for flag in frame_flags(statistics, usual)}


def test_normal_frames_are_not_flagged(synthetic_frames, usual):
    flagged = [frame for frame in synthetic_frames[30:] if codes(frame, usual)]
    assert len(flagged) <= 1


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if "0.15" not in name])
def test_spoilt_frames_are_flagged_with_what_is_wrong(name, good_frames, usual):
    code, spoil = CORRUPTIONS[name]
    raised = [
        code in codes(corrupt(frame, spoil, DIAMETER_PX, seed), usual)
        for seed, frame in enumerate(good_frames)
    ]
    assert np.mean(raised) >= 0.75


def test_report_has_every_section_and_a_picture(tmp_path):
    frames = simulated(20, 20, 0.5)
    card = make_card(confidence=neutral_confidence(0.5))
    unseen = left_out(frames, card)
    example = annotated([255, 200], cells=1)
    some = [UnseenFrame(example, example.frame.image.max(axis=2), fold) for fold in (0, 1)]
    evidence = [gather(frame, card) for frame in some]
    text = write_confidence_report(
        "fake",
        unseen,
        fit_evidence(frames, card),
        normal_rates(evidence, card, synthetic=1),
        corrupted_rates(some, evidence, card),
        tmp_path,
    )
    assert coverage_table(unseen) in text
    for words in ("Probabilities", "Intervals", "doubtful", "(false)", "(true", "green stain"):
        assert words in text
    assert (tmp_path / "confidence.md").read_text(encoding="utf-8") == text
    assert (tmp_path / "confidence.png").stat().st_size > 5000


def test_the_colours_of_annotated_frames_go_into_a_card_and_nothing_else(tmp_path):
    card, path = make_card(), tmp_path / "card.json"
    save_card(card, path)
    discs = draw_discs((120, 160), [(40, 60, 37), (110, 60, 37)]).astype(float)
    examples = [
        Example(
            frame=make_frame(np.stack([discs * share for share in colour], axis=2).astype(np.uint8)),
            labels=np.zeros((120, 160), np.int32), scale=1.0, group="", source="orange",
        )
        for colour in ((0.9, 0.4, 0.0), (0.9, 0.5, 0.05))
    ]  # fmt: skip
    line = fit_colours(examples, path)
    usual = msgspec.json.decode(path.read_bytes(), type=ModelCard).confidence.normal_frame
    shares = [0.4 / 1.3, 0.5 / 1.45]
    assert usual.green_share.low < min(shares) < max(shares) < usual.green_share.high
    assert usual.blue_share.high < 0.2
    before = card.confidence.normal_frame
    assert usual.contrast == before.contrast
    assert usual.background == before.background
    assert line.startswith("2 frames: green")


@pytest.mark.data
def test_unlabelled_yellow_frame_is_normal_for_ranges_of_reduced_ones(data_dir):
    from device.imageio import read_frame
    from trainer.frames.datasets import load_source
    from trainer.frames.sources import Source

    card = make_card(cell_diameter_px=9.5, frame_cell_diameter_px=38.0)
    source = Source(kind="reduced", path="fnc_yellow_reduced", name="reduced", licence="")
    frames = load_source(source, data_dir, 38.0, 1)
    known = normal_frame([light_statistics(e.frame, card, 38 / e.scale) for e in frames])
    paths = {path.stem[:8]: path for path in (DATA_DIR / "unlabelled").glob("Mar*.*")}
    yellow, green = (read_frame(paths[stem]) for stem in ("Mar23bS1", "Mar19bS1"))
    assert frame_flags(light_statistics(yellow, card, 38.0), known) == ()
    assert "wrong_stain" in {
        f.code for f in frame_flags(light_statistics(green, card, 38.0), known)
    }
