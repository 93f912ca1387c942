"""How large a cell is: said, or estimated; and what is done when the image disagrees.

A network sees cells at one size. Where the size is wrong it finds nothing, or pieces, and is sure of it; so each count
is compared with the size of what was counted, and with the frame's own scale spectrum where too little was counted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from device.counting.card import ModelCard
from device.counting.confidence.promise import hold_both, limit_promise
from device.counting.confidence.statistics import cell_size_ratio
from device.counting.diameter import Diameter, estimate_diameter
from device.counting.records import Counted, CountInterval, CountResult, Flag, Frame
from device.counting.settings import DIAMETER_RANGE_PX

NEAR = 1.3
"""Networks are trained on cells that are up to so many times as large or as small as they should be."""
APART = 1.5
"""A set diameter that differs from the image's by more is called wrong."""
MOST_ENLARGED = 1.75
"""Cells that must be enlarged by more raise a warning: at a quarter of their size, frames of nuclei gave
counts that were silently wrong in every third case (`fluocount-train scales`)."""
LEAST_SIDE_PX = 150
"""Four neurons of the usual 37 px side by side: a smaller image holds too little to tell how large a cell is."""
SMALLEST_PX = 3.0
"""A cell of fewer pixels across has no shape that could be estimated."""
MOST_WORKING_PX = 4_000_000
"""A frame is not enlarged beyond this: the estimate may be wrong, and the memory of a Raspberry Pi is short."""

SCALE_FLAG = "scale"
"""Code of the warning that the cells may have another size than assumed."""

SETTLING_FLAGS = frozenset({SCALE_FLAG, "coarse"})
"""Codes of the warnings that only `settle` gives: who labels a map again keeps them."""

CountAt = Callable[[Diameter | None], Counted]
"""Counts the frame with an estimated diameter; None: with the one that was set."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is known of the cells' size before a count.

    Attributes:
        estimated: from the image; None where a person set the diameter or nothing can be told.
        smallest_px: smaller cells would make the working image too large.
    """

    estimated: Diameter | None
    smallest_px: float


def size_up(frame: Frame, said_px: float | None, card: ModelCard) -> Size:
    """Estimate the diameter where it is not set.

    Args:
        frame: the capture.
        said_px: what a person set; None: nothing.
        card: of the model.
    """
    pixels = frame.height * frame.width
    # As large as it is, a frame may always be looked at: a network that works at full size must not be shown less.
    largest_scale = max(1.0, math.sqrt(MOST_WORKING_PX / pixels))
    smallest = max(card.cell_diameter_px / largest_scale, SMALLEST_PX)
    if said_px is not None or card.diameter_reader is None:
        return Size(None, smallest)
    found = estimate_diameter(frame, card.diameter_reader)
    return Size(found and _at_least(found, smallest), smallest)


def settle(
    frame: Frame, said_px: float | None, card: ModelCard, size: Size, count_at: CountAt
) -> Counted:
    """Count a frame, and once more where what was counted speaks for another diameter.

    Args:
        frame: the capture.
        said_px: diameter that a person set; None: nothing.
        card: of the model that counts.
        size: from `size_up`.
        count_at: counts with a diameter.

    Returns:
        The count with the better diameter; where both remain possible its interval holds both, and a flag says so.
    """
    if card.diameter_reader is None:
        return count_at(size.estimated)
    counted = warn_of_coarseness(_settle(frame, said_px, card, size, count_at), card)
    return counted if said_px is not None else _warn_of_smallness(counted)


def _settle(
    frame: Frame, said_px: float | None, card: ModelCard, size: Size, count_at: CountAt
) -> Counted:
    """`settle` for a model that can estimate diameters."""
    if size.estimated is not None:
        return _count_estimated(size.estimated, size.smallest_px, count_at)
    first = count_at(None)
    if said_px is None:
        return first
    seen = _diameter_of(frame, first, card)
    used = first.result.cell_diameter_px
    if seen is None or max(seen.px / used, used / seen.px) <= APART:
        return first
    other = count_at(_at_least(seen, size.smallest_px)).result
    return _holding_both(first, other, _set_flag(first.result, other))


def warn_of_coarseness(counted: Counted, card: ModelCard) -> Counted:
    """The count, with a warning where its cells have too few pixels for the network.

    Args:
        counted: with any diameter.
        card: of the model that counted.
    """
    used = counted.result.cell_diameter_px
    if MOST_ENLARGED * used >= card.cell_diameter_px:
        return counted
    flag = Flag(
        code="coarse",
        text=f"The cells are only about {used:.0f} px wide; so small ones are often missed or merged. Take the image "
        "with a higher magnification or at its full size.",
    )
    return _with(counted, interval=counted.result.interval, flag=flag)


def _warn_of_smallness(counted: Counted) -> Counted:
    """The count, with a warning where the image is too small to tell the cells' size from it."""
    height, width = counted.result.height, counted.result.width
    is_flagged = SETTLING_FLAGS & {flag.code for flag in counted.result.flags}
    if min(height, width) >= LEAST_SIDE_PX or is_flagged:
        return counted
    flag = Flag(
        code=SCALE_FLAG,
        text=f"The image is only {width} x {height} pixels: too small to tell how large a cell is. Set the cell "
        "diameter, or use the image at its full size.",
    )
    return _with(counted, interval=counted.result.interval, flag=flag)


def _count_estimated(guess: Diameter, smallest_px: float, count_at: CountAt) -> Counted:
    """The count with an estimated diameter, made better by the size of what was counted."""
    first = count_at(guess)
    ratio = _size_ratio(first)
    if ratio is None or 1 / NEAR <= ratio <= NEAR:
        return first if first.result.count else _empty(first, guess, smallest_px, count_at)
    rough = first.result
    del first  # its arrays, hundreds of MB of a large frame, go before the next count makes its own
    second = count_at(_at_least(_scale(guess, ratio), smallest_px))
    again = _size_ratio(second)
    if again is not None and 1 / APART <= again <= APART:
        return second
    return _holding_both(second, rough, _estimate_flag(second.result, rough))


def _empty(first: Counted, guess: Diameter, smallest_px: float, count_at: CountAt) -> Counted:
    """Nothing was found: the ends of the range are tried before that is believed."""
    for px in (guess.low_px, guess.high_px):
        other = count_at(_at_least(replace(guess, px=px), smallest_px)).result
        if other.count:
            return _holding_both(first, other, _estimate_flag(first.result, other))
    return first


def _diameter_of(frame: Frame, counted: Counted, card: ModelCard) -> Diameter | None:
    """What the counted cells say, else the scale spectrum where it excludes the diameter used."""
    used = counted.result.cell_diameter_px
    ratio = _size_ratio(counted)
    if ratio is not None:
        return Diameter(*(round(used * ratio * side, 2) for side in (1, 1 / NEAR, NEAR)))
    assert card.diameter_reader is not None
    seen = estimate_diameter(frame, card.diameter_reader)
    return None if seen is None or seen.low_px <= used <= seen.high_px else seen


def _size_ratio(counted: Counted) -> float | None:
    """Median diameter of the counted cells per diameter used; None where there are too few."""
    return cell_size_ratio(counted.result.cells, counted.result.cell_diameter_px)


def _scale(diameter: Diameter, factor: float) -> Diameter:
    return Diameter(
        *(round(px * factor, 2) for px in (diameter.px, diameter.low_px, diameter.high_px))
    )


def _at_least(diameter: Diameter, smallest_px: float) -> Diameter:
    largest_px = max(DIAMETER_RANGE_PX[1], smallest_px)
    return replace(
        diameter,
        px=min(max(diameter.px, smallest_px), largest_px),
        high_px=max(diameter.high_px, smallest_px),
    )


def _holding_both(kept: Counted, other: CountResult, flag: Flag) -> Counted:
    """One count whose interval holds the other's too, with a warning."""
    return _with(kept, hold_both(kept.result.interval, other.interval), flag)


def _with(counted: Counted, interval: CountInterval, flag: Flag) -> Counted:
    """The same count with one more warning, and the part of an interval that it leaves."""
    flags = (*counted.result.flags, flag)
    promised = limit_promise(interval, flags)
    result = msgspec.structs.replace(counted.result, interval=promised, flags=flags)
    return replace(counted, result=result)


def _set_flag(first: CountResult, other: CountResult) -> Flag:
    return Flag(
        code=SCALE_FLAG,
        text=f"The cells look about {other.cell_diameter_px:.0f} px wide, but the cell diameter is set to "
        f"{first.cell_diameter_px:.0f} px; with {other.cell_diameter_px:.0f} px the count is {other.count}. "
        "Check the cell diameter.",
    )


def _estimate_flag(kept: CountResult, other: CountResult) -> Flag:
    return Flag(
        code=SCALE_FLAG,
        text=f"It is not clear how large a cell is: with {kept.cell_diameter_px:.0f} px the count is {kept.count}, "
        f"with {other.cell_diameter_px:.0f} px it is {other.count}. Set the cell diameter.",
    )
