"""Which picture of a file is counted: scene, channel, plane or projection, as asked for or as only one can be meant."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from device.counting.reading import Reading
from device.counting.records import ImageArray
from device.errors import InputError
from device.imageio.stains import only_stain

STACK_WORDS = {"z": "z planes", "t": "time points", "page": "pages"}
"""Axes along which several pictures lie, and what people call their steps."""

_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a picture.

    Attributes:
        name: as the file calls it; may be empty.
        rgb: its display colour, 0 to 255 each, or None.
        exposure_s: or None.
    """

    name: str = ""
    rgb: tuple[int, int, int] | None = None
    exposure_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One scene of a file, not yet decoded.

    Attributes:
        height, width: pixels.
        channels: one or more; a picture in colour is one channel.
        stack: steps along each axis of STACK_WORDS that has more than one.
        read: (channel from 0, place along each axis of the stack from 0) to (height, width) or (height, width, 3).
        present: whether that plane is in the file.
        name: of the scene; may be empty.
    """

    height: int
    width: int
    channels: tuple[Channel, ...]
    stack: Mapping[str, int]
    read: Callable[[int, Mapping[str, int]], ImageArray]
    present: Callable[[int, Mapping[str, int]], bool] = lambda channel, place: True
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """One plane and what it is called, see Taken."""

    samples: ImageArray
    picture: Picture
    channel: str = ""
    plane: str = ""
    exposure_s: float | None = None
    notes: tuple[str, ...] = field(default=())


def choose_picture(pictures: Sequence[Picture], asked: Reading, name: str) -> Picture:
    """The scene that is counted.

    Raises:
        InputError: there are several and none was asked for, or not the one asked for.
    """
    if asked.scene is not None:
        if asked.scene > len(pictures):
            raise InputError(
                f"{name} contains {_number(len(pictures), 'scene')}, and scene {asked.scene} was asked for; "
                f"give a number from 1 to {len(pictures)}."
            )
        return pictures[asked.scene - 1]
    if len(pictures) > 1:
        scenes = _enumerate([picture.name for picture in pictures])
        raise InputError(
            f"{name} contains {len(pictures)} planes in {len(pictures)} scenes ({scenes});"
            " one image is expected: choose a scene (on the page under Count settings, in a command with --plane scene "
            "NUMBER), or export a single one."
        )
    return pictures[0]


def choose(pictures: Sequence[Picture], asked: Reading, name: str) -> Chosen:
    """Decode the one plane that is counted.

    Args:
        pictures: the scenes of the file, at least one.
        asked: what a person chose.
        name: of the file, for messages.

    Raises:
        InputError: several planes or channels and no choice, or a choice that the file does not have.
    """
    picture = choose_picture(pictures, asked, name)
    scene = f"scene {asked.scene} of {len(pictures)}" if len(pictures) > 1 else ""
    channels, notes = _channels(picture, asked, name)
    places, words = _places(picture, channels[0], asked, name)
    if len(picture.channels) == 1 and asked.channel is not None:
        return _of_colour(picture, places, asked, name, _join(scene, words))
    layers = [_layer(picture, channel, places, asked.project) for channel in channels]
    samples, number = layers[0]
    if number is not None:
        words = f"{words}, sharpest is {number + 1}"
    if len(channels) == 3:
        samples = cast(ImageArray, np.stack([layer for layer, _ in layers], axis=2))
        return Chosen(samples, picture, plane=_join(scene, words), notes=notes)
    channel = picture.channels[channels[0]]
    several = len(picture.channels) > 1
    return Chosen(
        samples,
        picture,
        channel=_name_of(picture, channels[0]) if several else "",
        plane=_join(scene, words),
        exposure_s=channel.exposure_s,
        notes=notes,
    )


_COLOURS = ("red", "green", "blue")


def _of_colour(
    picture: Picture, places: Sequence[Mapping[str, int]], asked: Reading, name: str, plane: str
) -> Chosen:
    """Red, green or blue of a picture in colour; a grey one has no other channel than itself."""
    samples, _ = _layer(picture, 0, places, asked.project)
    wanted = str(asked.channel).strip().lower()
    own = picture.channels[0].name.strip().lower()
    if samples.ndim == 2 and wanted not in ("1", own):
        raise InputError(
            f"{name} has no channel {asked.channel!r}; it has 1 channel{f' ({own})' if own else ''}."
        )
    if samples.ndim == 2:
        return Chosen(samples, picture, plane=plane)
    if wanted not in (*_COLOURS, "1", "2", "3"):
        raise InputError(
            f"{name} has no channel {asked.channel!r}; it is in colour: red, green or blue (1, 2, 3)."
        )
    index = _COLOURS.index(wanted) if wanted in _COLOURS else int(wanted) - 1
    grey = cast(ImageArray, np.ascontiguousarray(samples[..., index]))
    return Chosen(grey, picture, channel=_COLOURS[index], plane=plane)


def _channels(picture: Picture, asked: Reading, name: str) -> tuple[list[int], tuple[str, ...]]:
    """Indices of one channel, or of red, green and blue."""
    count = len(picture.channels)
    if count == 1:
        return [0], ()
    if asked.channel is not None:
        return [_find_channel(picture, asked.channel, name)], ()
    names = [channel.name.strip().lower() for channel in picture.channels]
    if sorted(names) == ["blue", "green", "red"]:
        return [names.index(colour) for colour in _COLOURS], ()
    inside = [index for index in range(count) if _any_present(picture, index)]
    if len(inside) == 1:
        return inside, ()
    stain = only_stain(picture.channels)
    if stain is not None:
        return [stain], (f"Channel {_name_of(picture, stain)} was taken as the stain.",)
    called = [f"{i} {channel.name}".strip() for i, channel in enumerate(picture.channels, start=1)]
    raise InputError(
        f"{name} has {count} channels ({_enumerate(called)}), and one is counted: choose that of the stain (on the "
        "page under Channel, in a command with --channel NAME or NUMBER), or export it alone."
    )


def _find_channel(picture: Picture, asked: str, name: str) -> int:
    names = [channel.name.strip().lower() for channel in picture.channels]
    wanted = asked.strip().lower()
    if names.count(wanted) == 1:
        return names.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    called = [f"{i} {channel.name}".strip() for i, channel in enumerate(picture.channels, start=1)]
    problem = f"no channel {asked!r}; it has {_number(len(names), 'channel')}"
    if names.count(wanted) > 1:
        problem = f"{names.count(wanted)} channels called {asked!r}; choose one by its number"
    raise InputError(f"{name} has {problem} ({_enumerate(called)}).")


def _places(
    picture: Picture, channel: int, asked: Reading, name: str
) -> tuple[list[dict[str, int]], str]:
    """The planes to read, and what they are called; several only for a projection."""
    fixed, words, left = {}, [], []
    stack = {axis: size for axis, size in picture.stack.items() if size > 1}
    for axis in STACK_WORDS:
        number: int | None = getattr(asked, axis)
        if number is None:
            continue
        own = axis if axis in stack or len(stack) != 1 else next(iter(stack))
        size = stack.get(own, 1)
        if number > size:
            raise InputError(
                f"{name} contains {_number(size, own + ' plane')}, and {axis} {number} was asked for; "
                f"give a number from 1 to {size}."
            )
        if own in stack:
            fixed[own] = number - 1
            words.append(f"{own} {number} of {size}")
    left = [axis for axis in stack if axis not in fixed]
    if len(left) > 1 or (left and asked.project is None):
        inside = _list_places(picture, channel, fixed, left)
        if len(inside) == 1:
            return inside, ""
        raise _several_planes(picture, {axis: stack[axis] for axis in left}, name)
    if not left:
        return [fixed], ", ".join(words)
    axis = left[0]
    places = [fixed | {axis: number} for number in range(stack[axis])]
    return places, _join(*words, f"{asked.project} of {stack[axis]} {STACK_WORDS[axis]}")


def _several_planes(picture: Picture, left: Mapping[str, int], name: str) -> InputError:
    planes = math.prod(left.values())
    held = " and ".join(f"{size} {STACK_WORDS[axis]}" for axis, size in left.items())
    options = " ".join(f"--plane {axis} NUMBER" for axis in left)
    project = " or --project max, mean or focus" if len(left) == 1 else ""
    return InputError(
        f"{name} contains {planes} planes ({held}); one image is expected: choose one (on the page under Count "
        f"settings, in a command with {options}{project}), or export a single plane."
    )


def _any_present(picture: Picture, channel: int) -> bool:
    axes = [axis for axis, size in picture.stack.items() if size > 1]
    return bool(_list_places(picture, channel, {}, axes))


def _list_places(
    picture: Picture, channel: int, fixed: Mapping[str, int], axes: Sequence[str]
) -> list[dict[str, int]]:
    """Which planes are in this file: the header of one file of a set describes them all."""
    shape = [picture.stack[axis] for axis in axes]
    places = [
        dict(fixed) | dict(zip(axes, (int(i) for i in index), strict=True))
        for index in np.ndindex(*shape)
    ]
    return [place for place in places if picture.present(channel, place)]


def _layer(
    picture: Picture, channel: int, places: Sequence[Mapping[str, int]], project: str | None
) -> tuple[ImageArray, int | None]:
    """One plane, or the projection of several; for "focus" also which one it is."""
    first: ImageArray = picture.read(channel, places[0])
    if len(places) == 1:
        return first, None
    rest = (picture.read(channel, place) for place in places[1:])
    if project == "mean":
        total = first.astype(np.uint32)
        for plane in rest:
            total += plane
        mean = ((total + len(places) // 2) // len(places)).astype(first.dtype)
        return cast(ImageArray, mean), None
    if project == "max":
        for plane in rest:
            first = np.maximum(first, plane)
        return first, None
    best, sharpest, number = first, _detail(first), 0
    for index, plane in enumerate(rest, start=1):
        detail = _detail(plane)
        if detail > sharpest:
            best, sharpest, number = plane, detail, index
    return best, number


def _detail(plane: ImageArray) -> float:
    """How much neighbours two pixels apart differ (Brenner 1976)."""
    rows = plane.astype(np.int32)
    return float(np.square(rows[2:] - rows[:-2], dtype=np.int64).mean())


def _name_of(picture: Picture, channel: int) -> str:
    return picture.channels[channel].name or str(channel + 1)


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _enumerate(names: Sequence[str]) -> str:
    shown = [name or str(number) for number, name in enumerate(names[:_MAX_LISTED], start=1)]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
