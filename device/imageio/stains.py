"""Which of several channels shows the stain that the shipped models count: neurons filled by a tracer, seen yellow."""

import re
from collections.abc import Sequence
from typing import Protocol

_TRACERS = re.compile(
    r"\b(ct-?b|cholera.?toxin|fluoro-?gold|fast.?blue|retro.?beads|yellow|yfp|tracer|neurons?)\b",
    re.IGNORECASE,
)
_YELLOW_BLUE_SHARE = 0.25
"""A display colour is yellow where blue is at most this part of the weaker of red and green."""
_YELLOW_BALANCE = 0.8
"""And green at least this part of red, and the other way round."""


class Shown(Protocol):
    """A channel's name and display colour."""

    @property
    def name(self) -> str:
        """May be empty."""
        ...

    @property
    def rgb(self) -> tuple[int, int, int] | None:
        """0 to 255 each, or None."""
        ...


def only_stain(channels: Sequence[Shown]) -> int | None:
    """Index of the one channel that is the stain by its name, else by its colour; None where not exactly one is."""
    for fits in (_names_tracer, _yellow):
        found = [index for index, channel in enumerate(channels) if fits(channel)]
        if len(found) == 1:
            return found[0]
        if found:
            return None
    return None


def _names_tracer(channel: Shown) -> bool:
    return _TRACERS.search(channel.name.replace("_", " ")) is not None


def _yellow(channel: Shown) -> bool:
    if channel.rgb is None:
        return False
    red, green, blue = channel.rgb
    weaker, stronger = min(red, green), max(red, green)
    return weaker >= _YELLOW_BALANCE * stronger > 0 and blue <= _YELLOW_BLUE_SHARE * weaker
