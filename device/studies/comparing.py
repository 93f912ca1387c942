"""Group against group: the test that the design allows, and effects with intervals. One value a subject goes in.

The formulas are those of SciPy and statsmodels; both are imported where they are used, because they are heavy.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import msgspec
import numpy as np

from device.errors import InputError
from device.store.studies import Tests

LEAST_SUBJECTS = 3
"""With two animals a scatter is hardly known; below this no test is made."""
CONFIDENCE = 0.95
NO_SCATTER = 1e-9
"""A scatter below this is rounding: a test would call any difference certain."""
MOST_EXACT = 50
"""R counts all cases of a test by ranks below that."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One group against another.

    Attributes:
        first, second: the groups; the effect is second minus first.
        difference, low, high: of the means with its 95 % interval; with several pairs the interval is widened
            (Bonferroni), so that all hold together.
        standard_error: of the difference. degrees_of_freedom: of its t distribution.
        p: of this pair, after Holm's correction where there are several.
        standardized, standardized_low, standardized_high: Hedges' g, or the probability that a subject of `second`
            is above one of `first` (tests by ranks), with its 95 % interval.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    p: float
    standardized: float
    standardized_low: float
    standardized_high: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What the groups say.

    Attributes:
        test: its name for people; empty where none was made.
        symbol, freedom, statistic, p: of the overall test: its letter, its degrees of freedom where it has any.
        effects: every pair of groups that has subjects enough.
        reason: why no test was made, one sentence.
    """

    test: str = ""
    symbol: str = ""
    freedom: tuple[float, ...] = ()
    statistic: float | None = None
    p: float | None = None
    effects: tuple[Effect, ...] = ()
    reason: str = ""


Values = Mapping[str, Sequence[float]]


def require_statistics() -> None:
    """Raise where the libraries are not installed.

    Raises:
        InputError: with the command that installs them.
    """
    try:
        import matplotlib
        import statsmodels  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Figures and tests of a study need {error.name}, which is not installed; install it with "
            "`pip install 'fluocount[studies]'`. The tables of the study work without."
        ) from None
    matplotlib.use("Agg")


def compare(
    values: Values, tests: Tests, slices: Mapping[str, Sequence[Sequence[float]]] | None = None
) -> Comparison:
    """Compare groups by the values of their subjects.

    Args:
        values: one value a subject, by group.
        tests: by means or by ranks.
        slices: for each subject the values of its slices, where a subject's value is their mean: then three groups
            and more are compared by a mixed model.

    Returns:
        A Comparison without a test where the design has too few groups or subjects.
    """
    usable = {group: list(own) for group, own in values.items() if len(own) >= LEAST_SUBJECTS}
    if len(usable) < 2:
        few = ", ".join(f"{group}: {len(own)}" for group, own in values.items()) or "no subjects"
        return Comparison(
            reason=f"No test: it needs two groups with at least {LEAST_SUBJECTS} subjects each ({few})."
        )
    if all(np.ptp(own) < NO_SCATTER for own in usable.values()):
        return Comparison(reason="No test: within each group all subjects have the same value.")
    effects = pair_effects(usable, partial(_effect, tests=tests))
    if len(usable) == 2:
        return _two(usable, tests, effects)
    return _several(usable, tests, effects, slices)


def _two(values: dict[str, list[float]], tests: Tests, effects: tuple[Effect, ...]) -> Comparison:
    first, second = values.values()
    if tests == "ranks":
        found = _mann_whitney(first, second)
        return overall("Mann-Whitney U test", "U", (), found.statistic, found.pvalue, effects)
    statistic, p, freedom = _means(first, second).ttest_ind(usevar="unequal")
    return overall("Welch's t test", "t", (freedom,), statistic, p, effects)


def overall(
    test: str, symbol: str, freedom: Sequence[float], statistic: float, p: float, effects: tuple[Effect, ...]
) -> Comparison:  # fmt: skip
    """A comparison whose numbers are plain floats; without a test where there is no finite one."""
    if not np.isfinite(p):
        reason = "No test of all groups: in one of them all subjects have the same value."
        return Comparison(reason=reason, effects=effects)
    return Comparison(
        test=test,
        symbol=symbol,
        freedom=tuple(float(one) for one in freedom),
        statistic=float(statistic),
        p=float(p),
        effects=effects,
    )


def _several(
    values: dict[str, list[float]],
    tests: Tests,
    effects: tuple[Effect, ...],
    slices: Mapping[str, Sequence[Sequence[float]]] | None,
) -> Comparison:
    if tests == "ranks":
        from scipy.stats import kruskal

        found = kruskal(*values.values())
        name, free = "Kruskal-Wallis test", (len(values) - 1,)
        return overall(name, "H", free, found.statistic, found.pvalue, effects)
    mixed = _mixed_model({group: slices[group] for group in values} if slices else {})
    if mixed is not None:
        freedom = (len(values) - 1, sum(map(len, values.values())) - len(values))
        name = "mixed model with the subjects as random effect"
        return overall(name, "F", freedom, *mixed, effects)
    from statsmodels.stats.oneway import anova_oneway

    found = anova_oneway(list(values.values()), use_var="unequal")
    name = "Welch's analysis of variance"
    return overall(name, "F", found.df, found.statistic, found.pvalue, effects)


def _mixed_model(slices: Mapping[str, Sequence[Sequence[float]]]) -> tuple[float, float] | None:
    """F and p of the groups in a model of all slices with a random intercept per subject.

    The F has as many degrees of freedom as there are subjects less groups, as in R's nlme: those of the slices would
    take slices for animals. None where a subject has a single slice only, or the fit does not converge.
    """
    import warnings

    from scipy.stats import f
    from statsmodels.regression.mixed_linear_model import MixedLM

    subjects = [own for group in slices.values() for own in group]
    if not subjects or min(len(own) for own in subjects) < 2:
        return None
    group_of = np.repeat(np.arange(len(slices)), [len(group) for group in slices.values()])
    sizes = [len(own) for own in subjects]
    design = np.eye(len(slices))[np.repeat(group_of, sizes)]
    design[:, 0] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = MixedLM(
                np.concatenate(subjects), design, np.repeat(np.arange(len(subjects)), sizes)
            )
            fit: Any = model.fit(reml=True)
        except (np.linalg.LinAlgError, ValueError):
            return None
    if not fit.converged:
        return None
    tested = np.eye(design.shape[1])[1:]
    effect = tested @ fit.fe_params
    spread = tested @ fit.cov_params()[: design.shape[1], : design.shape[1]] @ tested.T
    statistic = float(effect @ np.linalg.solve(spread, effect)) / len(tested)
    return statistic, float(f.sf(statistic, len(tested), len(subjects) - len(slices)))


def pair_effects(
    values: dict[str, list[float]],
    effect_of: Callable[[tuple[str, str], list[float], list[float], float], Effect],
) -> tuple[Effect, ...]:
    """Every pair of groups, p values after Holm.

    Args:
        values: one value a subject, by group.
        effect_of: makes the effect of (names, first values, second values, alpha of its interval).
    """
    from statsmodels.stats.multitest import multipletests

    pairs = list(combinations(values, 2))
    alpha = (1 - CONFIDENCE) / len(pairs)
    with np.errstate(divide="ignore", invalid="ignore"):
        made = [effect_of((one, two), values[one], values[two], alpha) for one, two in pairs]
    found = [effect for effect in made if effect.standard_error > NO_SCATTER]
    if not found:
        return ()
    corrected = multipletests([effect.p for effect in found], method="holm")[1]
    return tuple(
        msgspec.structs.replace(effect, p=float(p))
        for effect, p in zip(found, corrected, strict=True)
    )


def _effect(
    names: tuple[str, str], first: list[float], second: list[float], alpha: float, tests: Tests
) -> Effect:
    means = _means(first, second)
    low, high = means.tconfint_diff(alpha=alpha, usevar="unequal")
    if tests == "ranks":
        p, standardized = _mann_whitney(first, second).pvalue, _above(first, second)
    else:
        p, standardized = means.ttest_ind(usevar="unequal")[1], _hedges(first, second)
    return Effect(
        first=names[0],
        second=names[1],
        difference=float(np.mean(second) - np.mean(first)),
        low=float(low),
        high=float(high),
        standard_error=float(means.std_meandiff_separatevar),
        degrees_of_freedom=float(means.dof_satt()),
        p=float(p),
        standardized=standardized[0],
        standardized_low=standardized[1],
        standardized_high=standardized[2],
    )


def _mann_whitney(first: Sequence[float], second: Sequence[float]) -> Any:
    """As R has it: exact for few subjects without ties, else the normal approximation corrected for continuity.

    SciPy alone is exact only where a group has eight subjects or fewer.
    """
    from scipy.stats import mannwhitneyu

    values = np.round([*first, *second], 9)  # 0.1 + 0.2 is 0.3, too
    is_tied = np.unique(values).size < values.size
    exact = not is_tied and max(len(first), len(second)) < MOST_EXACT
    one, two = values[: len(first)], values[len(first) :]
    return mannwhitneyu(two, one, method="exact" if exact else "asymptotic")


def _means(first: Sequence[float], second: Sequence[float]) -> Any:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    return CompareMeans(DescrStatsW(np.asarray(second)), DescrStatsW(np.asarray(first)))


def _hedges(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Hedges' g of second minus first, with its interval."""
    from scipy.stats import norm
    from statsmodels.stats.meta_analysis import effectsize_smd

    told = [(np.mean(own), np.std(own, ddof=1), len(own)) for own in (second, first)]
    if told[0][1] == told[1][1] == 0:
        return float("nan"), float("nan"), float("nan")
    g, variance = effectsize_smd(*told[0], *told[1])
    reach = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(variance)
    return float(g), float(g - reach), float(g + reach)


def _above(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Probability that a subject of `second` is above one of `first`, ties half, with its interval (Brunner-Munzel)."""
    from statsmodels.stats.nonparametric import rank_compare_2indep

    with np.errstate(divide="ignore", invalid="ignore"):
        found = rank_compare_2indep(np.asarray(second), np.asarray(first))
    if (
        not np.isfinite(found.var) or found.var == 0
    ):  # the groups do not overlap: the scatter is unknown
        return float(found.prob1), float("nan"), float("nan")
    low, high = found.conf_int(alpha=1 - CONFIDENCE)
    return float(found.prob1), max(0.0, float(low)), min(1.0, float(high))
