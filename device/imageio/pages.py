"""The pages of a plain TIFF: which of them are data, and which only smaller copies."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from device.errors import InputError

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_SAME_ASPECT = 0.03
_LEAST_CORRELATION = 0.8
"""A preview may be stretched and sharpened, and still goes up and down with the image."""
_COMPARED_PX = 64
_MOST_WITH_OTHERS = 100
"""Pages that are asked for others behind them; a stack has none."""

Decode = Callable[[Any], np.ndarray]
"""From a page to (height, width) grey."""


def all_pages(file: Any) -> Iterator[Any]:
    """The pages of an open TIFF, and after them those that stand behind another: some cameras hide the image there.

    Each is parsed when its turn comes: a tenth of a millisecond or two, which adds up in a stack of thousands.
    """
    with_others: list[Any] = []
    for page in file.pages:
        if page is not None:
            yield page
            if len(with_others) < _MOST_WITH_OTHERS:
                with_others.append(page)
    for page in with_others:
        yield from (own for own in getattr(page, "pages", None) or () if own is not None)


def find_page(pages: Iterator[Any], name: str, asked: int) -> Any:
    """The page that a person chose.

    Args:
        pages: all pages of the file.
        name: for messages.
        asked: its number, from 1.

    Raises:
        InputError: there are not so many.
    """
    seen = list(islice(pages, asked))
    if len(seen) < asked:
        raise InputError(
            f"{name} contains {len(seen)} pages, and page {asked} was asked for; give a number from 1 to "
            f"{len(seen)}."
        )
    return seen[-1]


def data_pages(pages: Sequence[Any], name: str, decode: Decode) -> list[Any]:
    """The pages that hold the image at full resolution: one, or a stack of equal ones.

    Args:
        pages: all pages of the file.
        name: for messages.
        decode: for the comparison of pages of unequal sizes.

    Raises:
        InputError: pages of several kinds, none of which is a smaller copy of another.
    """
    full = [page for page in pages if not int(page.keyframe.subfiletype or 0) & (_REDUCED | _MASK)]
    groups: dict[tuple[object, ...], list[Any]] = {}
    for page in full or pages:
        groups.setdefault(_kind(page), []).append(page)
    ordered = sorted(groups.values(), key=lambda group: -_area(group[0]))
    largest, *others = ordered
    others = [group for group in others if not _is_copy(largest, group, decode)]
    if others:
        kinds = "; ".join(_describe(group) for group in (largest, *others)[:6])
        raise InputError(
            f"{name} contains {len(pages)} planes of several kinds ({kinds}); one image is expected: choose one in a "
            "command with --plane page NUMBER, or export it alone."
        )
    return largest


def _kind(page: Any) -> tuple[object, ...]:
    key = page.keyframe
    return key.imagelength, key.imagewidth, key.samplesperpixel, key.bitspersample


def _area(page: Any) -> int:
    return int(page.keyframe.imagelength * page.keyframe.imagewidth)


def _describe(group: Sequence[Any]) -> str:
    height, width, samples, bits = _kind(group[0])
    return f"{len(group)} of {width}x{height} pixels, {samples} samples of {bits} bits"


def _is_copy(full: Sequence[Any], others: Sequence[Any], decode: Decode) -> bool:
    """Whether every page of `others` shows the same as the one page of `full`, smaller."""
    height, width = full[0].keyframe.imagelength, full[0].keyframe.imagewidth
    low, narrow = others[0].keyframe.imagelength, others[0].keyframe.imagewidth
    if len(full) > 1 or low >= height or narrow >= width:
        return False
    if abs(width * low / (height * narrow) - 1) > _SAME_ASPECT:
        return False
    large = _thumbnail(decode(full[0]))
    return all(
        _correlation(large, _thumbnail(decode(page))) > _LEAST_CORRELATION for page in others
    )


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(grey.astype(np.float32))
    small = picture.resize((_COMPARED_PX, _COMPARED_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
