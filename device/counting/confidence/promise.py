"""What an interval can promise: it was tested on frames like the training frames, and a warning says that this is none.

Where cells may be missing, nothing is promised above the count; where nobody knows what the warning does to a count,
nothing at all. A number beside a warning would be read, the warning would not.
"""

from collections.abc import Sequence

from device.counting.records import CountInterval, Flag

MISSING = frozenset(
    {"coarse", "crowded", "dim", "out_of_focus", "saturated", "unsure", "wrong_stain"}
)
"""Warnings with which cells are missed or melted together: the count is at least so many."""
UNTESTED = frozenset(
    {
        "blank",
        "cell_size",
        "label_image",
        "pixel_shape",
        "pixel_size",
        "possible_annotations",
        "unreliable_interval",
        "untested_model",
        "unusual_brightness",
        "unusual_noise",
    }
)
"""Warnings with which a count may be wrong either way."""


def limit_promise(interval: CountInterval, flags: Sequence[Flag]) -> CountInterval:
    """The interval without what the flags take from it.

    Args:
        interval: 90 % interval of a frame as those that it was tested on.
        flags: all warnings of the frame.
    """
    codes = {flag.code for flag in flags}
    low, high = interval
    if codes & UNTESTED:
        return 0, None
    return low, None if codes & MISSING else high


def holds(interval: CountInterval, count: int) -> bool:
    """Whether a number of cells lies in an interval."""
    low, high = interval
    return low <= count and (high is None or count <= high)


def hold_both(one: CountInterval, other: CountInterval) -> CountInterval:
    """The narrowest interval that holds two."""
    highs = one[1], other[1]
    high = None if highs[0] is None or highs[1] is None else max(highs[0], highs[1])
    return min(one[0], other[0]), high


def interval_words(interval: CountInterval) -> str:
    """For people: "12 to 15", "at least 12" or "not known"."""
    low, high = interval
    if high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low else "not known"
