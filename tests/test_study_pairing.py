"""The same subjects in several groups: compared with themselves where a person says so, else not at all.

R 4.2.2 printed the figures:

    options(digits=12)
    with(sleep, t.test(extra[group == 2], extra[group == 1], paired = TRUE))
    with(sleep, wilcox.test(extra[group == 2], extra[group == 1], paired = TRUE))  # V = 45 - our smaller rank sum, 0
    friedman.test(x)                    # x: columns ROUND_OUT, NARROW, WIDE; of help(friedman.test)
"""

import numpy as np
import pytest
from scipy.stats import f

pytest.importorskip("statsmodels")

from studied import make_study, started

from device.studies.analysis import analyse
from device.studies.comparing import compare
from device.studies.pairing import compare_paired, compare_several
from device.studies.report import report_html

SLEEP = {
    "1": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    "2": [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
}
ROUND_OUT = [5.40, 5.85, 5.20, 5.55, 5.90, 5.45, 5.40, 5.45, 5.25, 5.85, 5.25, 5.65, 5.60, 5.05, 5.50, 5.45, 5.55, 5.45,
             5.50, 5.65, 5.70, 6.30]  # fmt: skip
NARROW = [5.50, 5.70, 5.60, 5.50, 5.85, 5.55, 5.40, 5.50, 5.15, 5.80, 5.20, 5.55, 5.35, 5.00, 5.50, 5.55, 5.55, 5.50,
          5.45, 5.60, 5.65, 6.30]  # fmt: skip
WIDE = [5.55, 5.75, 5.50, 5.40, 5.70, 5.60, 5.35, 5.35, 5.00, 5.70, 5.10, 5.45, 5.45, 4.95, 5.40, 5.50, 5.35, 5.55,
        5.25, 5.40, 5.55, 6.25]  # fmt: skip


def test_the_paired_t_test_is_that_of_r():
    found = compare_paired(SLEEP, "means")
    assert found.test == "paired t test"
    assert (found.statistic, found.p) == pytest.approx((4.06212768338, 0.00283289019738), abs=1e-9)
    assert found.freedom == (9,)
    effect = found.effects[0]
    assert (effect.low, effect.high) == pytest.approx((0.700114236723, 2.45988576328), abs=1e-9)
    assert effect.difference == pytest.approx(1.58)


def test_the_signed_rank_test_is_that_of_r():
    found = compare_paired(SLEEP, "ranks")
    assert (found.statistic, found.p) == pytest.approx((0, 0.00909069801593), abs=1e-9)


def test_friedman_is_that_of_r():
    found = compare_paired({"round": ROUND_OUT, "narrow": NARROW, "wide": WIDE}, "ranks")
    assert (found.statistic, found.p) == pytest.approx((11.1428571429, 0.00380504077551), abs=1e-9)
    assert found.freedom == (2,)


def test_hotelling_is_that_of_the_formula():
    found = compare_paired({"round": ROUND_OUT, "narrow": NARROW, "wide": WIDE}, "means")
    differences = np.array([np.subtract(NARROW, ROUND_OUT), np.subtract(WIDE, ROUND_OUT)])
    mean, number = differences.mean(axis=1), len(ROUND_OUT)
    squared = number * mean @ np.linalg.solve(np.cov(differences), mean)
    statistic = (number - 2) / (2 * (number - 1)) * squared
    assert found.freedom == (2, number - 2)
    assert (found.statistic, found.p) == pytest.approx((statistic, f.sf(statistic, 2, number - 2)))


def test_the_order_of_the_groups_says_nothing():
    groups = {"round": ROUND_OUT, "narrow": NARROW, "wide": WIDE}
    forward = compare_paired(groups, "means")
    assert compare_paired(dict(reversed(groups.items())), "means").p == pytest.approx(forward.p)


def test_differences_that_scatter_unlike_each_other_are_no_evidence():
    """Without an effect one in twenty is below 0.05, also where one group scatters ten times as much."""
    rng = np.random.default_rng(3)
    scatter = np.array([1, 1, 1, 10])[:, None]
    found = [
        compare_several(
            dict(zip("abcd", rng.normal(0, 1, (4, 10)) * scatter, strict=True)), "means", ()
        ).p
        < 0.05
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(0.05, abs=0.03)  # 0.12 with the analysis of variance


@pytest.mark.parametrize(
    "values",
    [
        {"a": [1, 2, 4], "b": [2, 5, 3], "c": [9, 8, 7], "d": [3, 1, 4]},
        {"a": [1, 2, 4, 3], "b": [2, 3, 5, 4], "c": [9, 8, 7, 2]},
    ],
    ids=["too few subjects", "differ by the same"],
)
def test_what_hotelling_cannot_tell_is_said_and_pairs_are_compared(values):
    found = compare_paired(values, "means")
    assert not found.test
    assert "as many subjects as groups" in found.reason
    assert found.effects


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": [1, 2], "b": [2, 3]}, "at least 3 subjects that are in all"),
        ({"a": [1, 2, 3]}, "two groups"),
        ({}, "two groups"),
        ({"a": [1, 2, 3], "b": [2, 3, 4]}, "differ by the same"),
    ],
)
def test_where_pairs_are_too_few_there_is_no_test(values, said):
    found = compare_paired(values, "means")
    assert found.p is None
    assert said in found.reason


@pytest.mark.parametrize("tests", ["means", "ranks"])
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def test_a_pair_without_scatter_has_no_effect_and_the_others_keep_theirs(tests):
    same = [1.1, 2.2, 3.3, 4.4]
    varied = [2.0, 2.1, 5.0, 4.0]
    paired = compare_paired({"a": same, "b": same, "c": varied}, tests)
    assert [(one.first, one.second) for one in paired.effects] == [("a", "c"), ("b", "c")]
    flat = compare({"a": [1.0] * 4, "b": [2.0] * 4, "c": varied}, tests)
    assert [(one.first, one.second) for one in flat.effects] == [("a", "c"), ("b", "c")]
    assert flat.p is None or np.isfinite(flat.p)
    assert all(np.isfinite(one.p) for one in (*paired.effects, *flat.effects))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Five animals before and after; the sixth was only seen before. Animals differ more than before and after do."""
    service = started(tmp_path_factory.mktemp("lab"))
    cells = {("before", f"m{n}", "1"): 1 + 2 * n for n in range(6)}
    cells |= {("after", f"m{n}", "1"): 3 + 2 * n - n % 2 for n in range(5)}
    make_study(service, cells, groups=("before", "after"))
    yield service
    service.stop()


def analysed(lab, **changes):
    import msgspec

    store = lab.require_store()
    store.studies.save(msgspec.structs.replace(store.studies.get("torpor"), **changes))
    return analyse(store, "torpor")


def test_a_name_in_two_groups_is_no_test_before_somebody_says_what_it_means(lab):
    (found,) = analysed(lab, pairing="unsaid").analyses
    assert not found.comparison.effects
    assert "m0" in found.comparison.reason
    assert "paired" in found.comparison.reason
    assert len(found.values) == 11


def test_paired_subjects_are_compared_with_themselves_and_the_incomplete_one_is_told(lab):
    findings = analysed(lab, pairing="paired")
    (found,) = findings.analyses
    (effect,) = found.comparison.effects
    assert found.is_paired
    assert found.comparison.freedom == (4,)
    assert effect.low > 0
    assert len(found.values) == 11
    assert any("m5 is only in before" in told for told in findings.notes["Unequal"])
    html = report_html(lab.require_store(), findings)
    assert "paired t test" in html
    assert "Thin lines join the same subject" in html


def test_independent_subjects_of_one_name_are_compared_as_such(lab):
    (paired,) = analysed(lab, pairing="paired").analyses
    (found,) = analysed(lab, pairing="independent").analyses
    assert found.comparison.test == "Welch's t test"
    assert found.comparison.effects[0].p > paired.comparison.effects[0].p


def test_names_are_joined_as_people_do():
    from device.studies.words import join_words

    assert join_words(["Anna"]) == "Anna"
    assert join_words(["Anna", "Ben"]) == "Anna and Ben"
    assert join_words(["Anna", "Ben", "Carla"]) == "Anna, Ben and Carla"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.2, 2, "−0.20"),
        (7, 3, "7.00"),
        (1234.5, 3, "1234"),
        (123.4, 3, "123"),
        (0, 3, "0"),
        (float("nan"), 3, "–"),
        (None, 3, "–"),
        (0.00001, 2, "0.000010"),
    ],
)
def test_numbers_have_their_digits_and_the_minus_of_print(value, digits, text):
    from device.studies.words import number_text

    assert number_text(value, digits) == text
