"""The same subjects in every group: each is compared with itself. The formulas are those of SciPy and statsmodels."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from device.store.studies import Tests
from device.studies.comparing import (
    LEAST_SUBJECTS,
    MOST_EXACT,
    NO_SCATTER,
    Comparison,
    Effect,
    overall,
    pair_effects,
)
from device.studies.values import Subject

HOTELLING = "Hotelling's T² test of the differences within subjects"
"""It lets the differences between groups scatter and go together as they like. The analysis of variance with repeated
measures, which statsmodels does not correct for that (sphericity), finds differences where there are none."""
_TOO_FEW = (
    "No test of all groups: it needs as many subjects as groups, and differences between groups that vary among "
    "subjects."
)
Groups = dict[str, list[tuple[Subject, float]]]


def shared_names(groups: Mapping[str, Sequence[tuple[Subject, float]]]) -> list[str]:
    """Names of subjects that are in more than one group, sorted."""
    seen: dict[str, int] = {}
    for own in groups.values():
        for subject, _ in own:
            seen[subject.name] = seen.get(subject.name, 0) + 1
    return sorted(name for name, number in seen.items() if number > 1)


def complete_subjects(groups: Groups) -> Groups:
    """The subjects that have a value in every group that has any, in the same order in each."""
    used = {group: own for group, own in groups.items() if own}
    names = (
        set.intersection(*({one.name for one, _ in own} for own in used.values()))
        if used
        else set()
    )
    return {
        group: sorted(
            ((one, value) for one, value in own if one.name in names), key=lambda pair: pair[0].name
        )
        for group, own in used.items()
    }


def compare_paired(values: Mapping[str, Sequence[float]], tests: Tests) -> Comparison:
    """Compare groups of the same subjects.

    Args:
        values: by group, one value a subject, the same subjects in the same order.
        tests: by means or by ranks.

    Returns:
        A Comparison without a test where there are too few groups or subjects.
    """
    groups = {group: list(own) for group, own in values.items()}
    number = len(next(iter(groups.values()), []))
    if len(groups) < 2 or number < LEAST_SUBJECTS:
        return Comparison(
            reason=f"No test: it needs two groups with at least {LEAST_SUBJECTS} subjects that are in all of them "
            f"({number} are)."
        )
    table = np.array(list(groups.values()))
    if np.ptp(table - table[0], axis=1).max() < NO_SCATTER:
        return Comparison(reason="No test: all subjects differ by the same between the groups.")
    effects = pair_effects(groups, partial(_effect, tests=tests))
    if len(groups) == 2:
        return _two(table[0], table[1], tests, effects)
    return compare_several(groups, tests, effects)


def _two(first: Any, second: Any, tests: Tests, effects: tuple[Effect, ...]) -> Comparison:
    if tests == "ranks":
        found = _wilcoxon(first, second)
        return overall("Wilcoxon signed-rank test", "W", (), found.statistic, found.pvalue, effects)
    from scipy.stats import ttest_rel

    found = ttest_rel(second, first)
    return overall("paired t test", "t", (found.df,), found.statistic, found.pvalue, effects)


def compare_several(
    groups: dict[str, list[float]], tests: Tests, effects: tuple[Effect, ...]
) -> Comparison:
    """Test three or more groups of the same subjects at once.

    Args:
        groups: one value a subject, the same subjects in the same order.
        tests: by means (Hotelling's T²) or by ranks (Friedman).
        effects: of each pair of groups, for the result.
    """
    if tests == "ranks":
        from scipy.stats import friedmanchisquare

        found = friedmanchisquare(*groups.values())
        freedom = (len(groups) - 1,)
        return overall("Friedman test", "χ²", freedom, found.statistic, found.pvalue, effects)
    table = np.array(list(groups.values()))
    differences = np.diff(table, axis=0).T
    if np.linalg.matrix_rank(np.cov(differences.T)) < len(groups) - 1:
        return Comparison(reason=_TOO_FEW, effects=effects)
    from statsmodels.stats.multivariate import test_mvmean

    found = test_mvmean(differences, mean_null=np.zeros(len(groups) - 1), return_results=True)
    return overall(HOTELLING, "F", found.df, found.statistic, found.pvalue, effects)


def _effect(
    names: tuple[str, str], first: list[float], second: list[float], alpha: float, tests: Tests
) -> Effect:
    """The mean of the differences within the subjects; it needs no standardising by the scatter among them."""
    from scipy.stats import ttest_rel

    found = ttest_rel(second, first)
    low, high = found.confidence_interval(1 - alpha)
    differences = np.subtract(second, first)
    nothing = float("nan")
    return Effect(
        first=names[0],
        second=names[1],
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        standard_error=float(differences.std(ddof=1) / np.sqrt(differences.size)),
        degrees_of_freedom=float(found.df),
        p=float(
            _wilcoxon(first, second).pvalue
            if tests == "ranks" and differences.any()
            else found.pvalue
        ),
        standardized=nothing,
        standardized_low=nothing,
        standardized_high=nothing,
    )


def _wilcoxon(first: Any, second: Any) -> Any:
    """As R has it: exact without ties, else the normal approximation with its correction for continuity."""
    from scipy.stats import wilcoxon

    differences = np.round(np.subtract(second, first), 9)  # 0.3 - 0.1 is 0.2, too
    is_tied = np.unique(np.abs(differences)).size < differences.size or not differences.all()
    method = "asymptotic" if is_tied or differences.size >= MOST_EXACT else "exact"
    return wilcoxon(differences, correction=True, method=method)
