"""The statistics of studies against R 4.2.2, and what counting errors do to them.

The figures of R were printed by:

    options(digits=15)
    a <- c(12,15,11,14,13,17); b <- c(18,22,19,16,25,21); c <- c(14,19,17,20,16,15)
    t <- t.test(b, a); cat(t$statistic, t$p.value, t$conf.int, t$parameter)
    w <- wilcox.test(b, a); cat(w$statistic, w$p.value)
    y <- c(a,b,c); g <- factor(rep(1:3, each=6))
    k <- kruskal.test(y, g); cat(k$statistic, k$p.value)
    o <- oneway.test(y ~ g); cat(o$statistic, o$p.value)
    p.adjust(c(t.test(b,a)$p.value, t.test(c,a)$p.value, t.test(c,b)$p.value), "holm")
    t.test(b, a, conf.level = 1 - 0.05/3)$conf.int
    library(nlme); d <- data.frame(y = c(t(NESTED)), s = rep(1:12, each=3), g = factor(rep(1:3, each=12)))
    anova(lme(y ~ g, random = ~1 | s, data = d))
"""

import math

import numpy as np
import pytest

pytest.importorskip("statsmodels")

from device.store.reviews import Marked, Review
from device.store.studies import Place, Study
from device.studies.analysis import Analysis, Findings, SubjectValue
from device.studies.comparing import Comparison, compare
from device.studies.methods import _statistics
from device.studies.notes import notes_of, outliers
from device.studies.pairing import compare_paired
from device.studies.statement import SeenImage, sampling_sentence
from device.studies.uncertainty import carry, draw_counts
from device.studies.values import ImageLine, Subject, value_of, values_by_group

A, B, C = [12, 15, 11, 14, 13, 17], [18, 22, 19, 16, 25, 21], [14, 19, 17, 20, 16, 15]
NESTED = (
    ((10, 12, 11), (14, 15, 13), (9, 12, 10), (13, 11, 14)),
    ((16, 18, 17), (14, 17, 15), (19, 18, 20), (15, 18, 17)),
    ((12, 15, 14), (17, 16, 15), (13, 12, 15), (16, 18, 17)),
)


def line(count: int, interval: tuple[int, int] | None = None, **changes) -> ImageLine:
    values = {
        "count_id": "0" * 16,
        "image": "a.png",
        "image_sha256": "",
        "place": Place(group="A", subject="m1"),
        "status": "done",
        "count": count,
        "automatic": count,
        "interval": interval or (count, count),
        "area_mm2": None,
        "flags": (),
        "reviewed_by": None,
        "corrected": False,
        "versions": 1,
        "model": "fake 0",
        "assay": "",
        "cell_diameter_px": 37.0,
    }
    return ImageLine(**{**values, **changes})


def subject(group: str, name: str, *lines: ImageLine, missing: int = 0) -> Subject:
    return Subject(group=group, name=name, region="", lines=lines, missing=missing)


def test_welch_is_that_of_r():
    found = compare({"a": A, "b": B}, "means")
    assert found.test == "Welch's t test"
    assert found.statistic == pytest.approx(4.13399173202481, abs=1e-6)
    assert found.p == pytest.approx(0.00267594982044277, abs=1e-6)
    effect = found.effects[0]
    assert (effect.low, effect.high) == pytest.approx((2.93023173489698, 10.069768265103), abs=1e-6)
    assert effect.degrees_of_freedom == pytest.approx(8.79134295227525, abs=1e-6)
    assert effect.difference == pytest.approx(np.mean(B) - np.mean(A))


def test_hedges_g_is_the_difference_in_pooled_standard_deviations_less_its_bias():
    effect = compare({"a": A, "b": B}, "means").effects[0]
    freedom = len(A) + len(B) - 2
    pooled = np.sqrt((5 * np.var(A, ddof=1) + 5 * np.var(B, ddof=1)) / freedom)
    g = (np.mean(B) - np.mean(A)) / pooled * (1 - 3 / (4 * freedom - 1))
    assert effect.standardized == pytest.approx(g, abs=1e-6)
    reach = 1.959964 * np.sqrt(12 / 36 + g**2 / (2 * (12 - 3.94)))  # Hedges and Olkin (1985)
    ends = (effect.standardized_low, effect.standardized_high)
    assert ends == pytest.approx((g - reach, g + reach), abs=1e-5)


def test_mann_whitney_is_that_of_r():
    found = compare({"a": A, "b": B}, "ranks")
    assert (found.statistic, found.p) == pytest.approx((35, 0.00432900432900433), abs=1e-6)
    assert found.effects[0].standardized == pytest.approx(35 / 36)


def test_kruskal_wallis_is_that_of_r():
    found = compare({"a": A, "b": B, "c": C}, "ranks")
    assert (found.statistic, found.p) == pytest.approx(
        (9.73737897648687, 0.00768342791547342), abs=1e-6
    )


def test_several_groups_by_means_are_those_of_r():
    found = compare({"a": A, "b": B, "c": C}, "means")
    assert found.test == "Welch's analysis of variance"
    assert (found.statistic, found.p) == pytest.approx(
        (8.4124608966042, 0.0074877573822052), abs=1e-6
    )
    holm = [0.00802784946132831, 0.0688723810692456, 0.0688723810692456]
    assert [effect.p for effect in found.effects] == pytest.approx(holm, abs=1e-6)
    pair = found.effects[0]
    assert (pair.low, pair.high) == pytest.approx((1.86369527313542, 11.1363047268646), abs=1e-6)


def test_the_mixed_model_is_that_of_r_and_takes_no_slices_for_animals():
    slices = dict(zip("abc", NESTED, strict=True))
    means = {name: [float(np.mean(own)) for own in group] for name, group in slices.items()}
    found = compare(means, "means", slices)
    assert found.test.startswith("mixed model")
    assert found.statistic == pytest.approx(9.24318298616813, rel=1e-4)
    assert found.p == pytest.approx(0.00657753747856549, rel=1e-3)
    as_animals = compare({name: list(np.ravel(group)) for name, group in slices.items()}, "means")
    assert as_animals.p < found.p / 10


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": A}, "two groups"),
        ({"a": A, "b": [1, 2]}, "at least 3 subjects"),
        ({"a": [2.0] * 4, "b": [3.0] * 4}, "the same value"),
        ({}, "no subjects"),
    ],
)
def test_where_the_design_allows_no_test_there_is_none(values, said):
    found = compare(values, "means")
    assert found.p is None
    assert not found.effects
    assert said in found.reason


def test_groups_that_do_not_overlap_have_no_interval_of_ranks_but_a_probability():
    effect = compare({"a": [1, 2, 3], "b": [4, 5, 6]}, "ranks").effects[0]
    assert effect.standardized == pytest.approx(1, abs=0.01)


def test_drawn_counts_follow_their_interval():
    lines = [line(20, (16, 30)), line(50, (50, 50)), line(1, (0, 4))]
    drawn = draw_counts(lines, 4000, np.random.default_rng(0))
    inside = np.mean((drawn[:, 0] >= 16) & (drawn[:, 0] <= 30))
    assert inside == pytest.approx(0.9, abs=0.04)
    assert np.all(drawn[:, 1] == 50)
    assert drawn.min() >= 0
    assert np.all(drawn == np.round(drawn))


def groups_with(interval_of):
    study = Study(name="torpor", groups=("a", "b"))
    subjects = [
        subject(group, f"{group}{number}", line(value, interval_of(value)))
        for group, values in (("a", A), ("b", B))
        for number, value in enumerate(values)
    ]
    return study, values_by_group(study, subjects, False)


def test_uncertain_counts_widen_the_interval_and_certain_ones_do_not():
    comparison = compare({"a": A, "b": B}, "means")
    certain = carry(*groups_with(lambda value: (value, value)), comparison, False).effects[0]
    doubtful = carry(*groups_with(lambda value: (value - 8, value + 8)), comparison, False).effects[
        0
    ]
    plain = comparison.effects[0]
    assert (certain.low, certain.high, certain.p) == pytest.approx((plain.low, plain.high, plain.p))
    assert doubtful.low < plain.low
    assert doubtful.high > plain.high
    assert doubtful.p > plain.p
    assert (doubtful.low > 0) == (doubtful.p < 0.05)


def test_a_sum_lacks_no_slice_and_a_density_no_area():
    whole, part = subject("a", "m1", line(3), line(5)), subject("a", "m2", line(3), missing=1)
    assert value_of(whole, [3, 5], "sum", False) == 8
    assert value_of(whole, [3, 5], "mean", False) == 4
    assert value_of(part, [3], "sum", False) is None
    assert value_of(part, [3], "mean", False) == 3
    sized = subject("a", "m3", line(10, area_mm2=1.0), line(20, area_mm2=4.0))
    assert value_of(sized, [10, 20], "mean", True) == pytest.approx(30 / 5)
    mixed = subject("a", "m4", line(10, area_mm2=1.0), line(20))
    assert value_of(mixed, [10, 20], "mean", True) is None


def test_an_outlier_is_named_and_a_steady_group_has_none():
    assert outliers({"a": [10, 11, 9, 10, 12, 60], "b": B}) == [("a", 5)]
    assert outliers({"a": [10, 60, 10]}) == []


def test_large_numbers_stand_as_people_write_them():
    values = [10_000.0, 10_100.0, 9_900.0, 10_050.0, 61_234.0]
    dots = tuple(
        SubjectValue(group="a", subject=f"m{n}", value=value, slices=1, missing=0, uncertainty=0)
        for n, value in enumerate(values)
    )
    dense = Analysis(
        region="", unit="cells per mm²", values=dots, groups=(), comparison=Comparison()
    )
    study = Study(name="torpor")
    assert notes_of(study, [], [], [dense])["Outliers"] == ("subject m4 (a): 61234 cells per mm²",)
    keys = {"k1": "1", "k2": "2"}
    review = Review(id="r", study="torpor", observers=("ann",), seed=1, of={"all": 11}, keys=keys)
    marks = {(key, "ann"): Marked(points=(), done=True) for key in keys}
    seen = [
        SeenImage(
            key=key,
            count_id=key,
            image=key,
            automatic=((1.0, 1.0),) * cells,
            reach_px=5,
            stratum="all",
        )
        for key, cells in (("k1", 10), ("k2", 200))
    ]
    sentence = sampling_sentence(review, marks, seen)
    assert "e+" not in sentence
    assert "± 1" in sentence


def methods_of(values, tests="means", *, paired=False):
    """What the methods section says about the statistics of these groups."""
    comparison = (compare_paired if paired else compare)(values, tests)
    analysis = Analysis(
        region="", unit="cells", values=(), groups=(), comparison=comparison, is_paired=paired
    )
    study = Study(name="torpor", tests=tests)
    return _statistics(Findings(study=study, lines=(), analyses=(analysis,), notes={}))


def test_the_methods_say_what_hotelling_does_not_assume():
    groups = {"a": A, "b": B, "c": C}
    assert "sphericity" in methods_of(groups, paired=True)
    assert "sphericity" not in methods_of(groups)
    assert "sphericity" not in methods_of({"a": A, "b": B}, paired=True)


@pytest.mark.parametrize(
    ("tests", "paired", "said"),
    [
        ("means", False, "Pairs of groups were compared by Welch's t test"),
        ("ranks", False, "Groups were compared by Kruskal-Wallis test. Pairs"),
        ("means", True, "compared by paired t test: p values after Holm"),
        ("ranks", True, "compared by Wilcoxon signed-rank test"),
    ],
)
def test_the_methods_name_the_test_behind_every_p_value(tests, paired, said):
    """A group that does not vary leaves no test of all groups, but tests of pairs."""
    groups = {"a": [0, 0, 0], "b": [3, 5, 4], "c": [9, 8, 12]}
    text = methods_of(groups, tests, paired=paired)
    assert said in text
    assert "No test was made" not in text
    assert "No test was made" in methods_of({"a": [1, 1, 1], "b": [2, 2, 2]}, tests, paired=paired)


def test_ranks_are_counted_exactly_as_r_does_also_in_larger_groups():
    """wilcox.test(11:20, 1:10)$p.value: of all ways to deal 20 subjects out, 2 are as extreme."""
    apart = {"a": list(range(1, 11)), "b": list(range(11, 21))}
    assert compare(apart, "ranks").p == pytest.approx(2 / math.comb(20, 10), rel=1e-9)
    tied = {"a": [0.3, *range(2, 11)], "b": [0.1 + 0.2, *range(11, 20)]}
    same = {"a": [0.3, *range(2, 11)], "b": [0.3, *range(11, 20)]}
    assert compare(tied, "ranks").p == compare(same, "ranks").p
