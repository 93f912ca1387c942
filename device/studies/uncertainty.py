"""How uncertain counts widen what a study says: counts are drawn from their intervals and everything is made again."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from device.store.studies import Study
from device.studies.comparing import CONFIDENCE, Comparison, Effect
from device.studies.values import ImageLine, Subject, ends_of, value_of

DRAWS = 500
"""Enough for two digits of a standard deviation (its own relative error is 1 / sqrt(2 * 500) = 3 %)."""
_HALF_90 = 1.645
"""Standard deviations from the middle to either end of a 90 % interval."""

Draws = npt.NDArray[np.float64]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What the uncertainty of the counts adds.

    Attributes:
        subjects: standard deviation of each subject's value, by (group, name).
        effects: the comparison's effects with their intervals widened.
    """

    subjects: dict[tuple[str, str], float]
    effects: tuple[Effect, ...]


def draw_counts(lines: Sequence[ImageLine], draws: int, generator: np.random.Generator) -> Draws:
    """Counts (draws, images) as they could be within their 90 % intervals, whole and never negative.

    Either side of an interval has its own width (a split normal distribution); images are drawn independently. What a
    person looked through does not scatter.
    """
    count = np.array([float(line.count or 0) for line in lines])
    low, high = np.array([ends_of(line) for line in lines], dtype=float).reshape(-1, 2).T
    below, above = np.maximum(0, count - low) / _HALF_90, np.maximum(0, high - count) / _HALF_90
    normal = np.abs(generator.standard_normal((draws, len(lines))))
    total = below + above
    # The sides meet without a step when each is drawn as often as it is wide.
    share_above = np.divide(above, total, out=np.full(len(lines), 0.5), where=total > 0)
    upward = generator.random((draws, len(lines))) < share_above
    drawn: Draws = np.maximum(
        0, np.round(count + np.where(upward, normal * above, -normal * below))
    )
    return drawn


def carry(
    study: Study,
    groups: Mapping[str, Sequence[tuple[Subject, float]]],
    comparison: Comparison,
    density: bool,
    draws: int = DRAWS,
) -> Spread:
    """Carry the intervals of the counts into the values of the subjects and into the effects.

    An effect's variance is that among the subjects plus that of its drawn values (Rubin's rule). The scatter among
    subjects contains some of the counting error already, so the interval is wide rather than narrow.

    Args:
        study: how slices become a value.
        groups: subjects with their values, as they were compared.
        comparison: of these groups.
        density: as the values were made.
        draws: how often counts are drawn.
    """
    generator = np.random.default_rng(1)  # the same report from the same data
    drawn: dict[str, Draws] = {}
    spread: dict[tuple[str, str], float] = {}
    for group, subjects in groups.items():
        values = [_values(study, subject, density, draws, generator) for subject, _ in subjects]
        drawn[group] = np.array(values).reshape(len(values), draws)
        for (subject, _), own in zip(subjects, values, strict=True):
            spread[group, subject.name] = float(np.std(own, ddof=1))
    pairs = max(1, len(comparison.effects))
    effects = tuple(_widen(effect, drawn, pairs) for effect in comparison.effects)
    return Spread(subjects=spread, effects=_holm(effects) if study.tests == "means" else effects)


def _holm(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """p values that agree with the widened intervals: of the t distribution, corrected for several pairs."""
    from scipy.stats import t
    from statsmodels.stats.multitest import multipletests

    if not effects:
        return effects
    p = [
        2 * float(t.sf(abs(one.difference) / one.standard_error, one.degrees_of_freedom))
        for one in effects
    ]
    corrected = multipletests(p, method="holm")[1]
    return tuple(
        msgspec.structs.replace(effect, p=float(value))
        for effect, value in zip(effects, corrected, strict=True)
    )


def _values(
    study: Study, subject: Subject, density: bool, draws: int, generator: np.random.Generator
) -> list[float]:
    counts = draw_counts(subject.lines, draws, generator)
    return [value_of(subject, row, study.per_subject, density) or 0.0 for row in counts.tolist()]


def _widen(effect: Effect, drawn: Mapping[str, Draws], pairs: int) -> Effect:
    from scipy.stats import t

    differences = drawn[effect.second].mean(axis=0) - drawn[effect.first].mean(axis=0)
    between = float(np.var(differences, ddof=1)) * (1 + 1 / differences.size)
    error = float(np.hypot(effect.standard_error, np.sqrt(between)))
    tail = 1 - (1 - CONFIDENCE) / pairs / 2
    reach = float(t.ppf(tail, effect.degrees_of_freedom)) * error
    return msgspec.structs.replace(
        effect, low=effect.difference - reach, high=effect.difference + reach, standard_error=error
    )
