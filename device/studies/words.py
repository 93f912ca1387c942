"""Numbers and findings as people write them in a paper."""

import math
from collections.abc import Sequence

from device.studies.comparing import Comparison, Effect

_SPACE = "\N{NO-BREAK SPACE}"


def number_text(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, whole where it is large, with the minus sign of print."""
    if value is None or not math.isfinite(value):
        return "–"
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, digits - 1 - magnitude)}f}" if value else "0"
    return text.replace("-", "−")


def p_text(p: float | None) -> str:
    """A p value for people, never 0; it is not broken across lines."""
    if p is None:
        return ""
    text = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return text.replace(" ", _SPACE)


def join_words(names: Sequence[str]) -> str:
    """Anna, Ben and Carla."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def range_text(low: float | None, high: float | None, digits: int = 3) -> str:
    """From ... to."""
    if low is None or high is None or low != low:
        return "–"
    return f"{number_text(low, digits)} to {number_text(high, digits)}"


def overall_sentence(comparison: Comparison) -> str:
    """The overall test as a paper has it; why there is none, where there is none."""
    if comparison.statistic is None:
        return comparison.reason
    freedom = ", ".join(_freedom(one) for one in comparison.freedom)
    letter = f"{comparison.symbol}({freedom})" if freedom else comparison.symbol
    name = comparison.test[0].upper() + comparison.test[1:]
    found = f"{letter} = {number_text(comparison.statistic)}".replace(" ", _SPACE)
    return f"{name}: {found}, {p_text(comparison.p)}."


def effect_sentence(effect: Effect, unit: str, ranks: bool) -> str:
    """One pair of groups in words."""
    sign = 1 if effect.difference >= 0 else -1
    low, high = sorted((sign * effect.low, sign * effect.high))
    text = (
        f"{effect.second} has {number_text(abs(effect.difference))} {'more' if sign > 0 else 'fewer'} {unit} than "
        f"{effect.first} (95 % interval {range_text(low, high)}; {p_text(effect.p)})."
    )
    if effect.standardized != effect.standardized:  # NaN: no scatter at all, or the same subjects
        return text
    interval = range_text(effect.standardized_low, effect.standardized_high)
    between = "" if interval == "–" else f" (95 % interval {interval})"
    if ranks:
        return (
            f"{text} Probability that a subject of {effect.second} is above one of {effect.first}: "
            f"{number_text(effect.standardized)}{between}."
        )
    return f"{text} Hedges' g = {number_text(effect.standardized)}{between}."


def _freedom(value: float) -> str:
    """Whole degrees of freedom without decimals."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-9 else f"{value:.1f}"
