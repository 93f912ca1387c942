"""Warnings about a frame unlike the training frames: what is unusual, and what to do."""

from collections.abc import Iterator, Sequence

from device.counting.assay import Assay, Objective
from device.counting.card import Confidence, CountStatistics, ModelCard, NormalFrame, Range, View
from device.counting.confidence.statistics import MeasuredCount, MeasuredFrame
from device.counting.records import Flag, Frame, Taken

DIM_SHARE = 0.65
"""At two thirds of the light the models still find three cells of four, at half of it every other one."""

DIM_8_BIT_SHARE = 0.34
"""A cell's brightest pixels nearly always reach a third of the 8 bits; whoever divides the light by three loses most
cells, and an empty field looks the same."""

LEAST_COVERAGE = 0.7
"""Honest 90 % intervals fall below it by chance in one of twelve tests with five frames, in one of eighty with ten."""
LARGEST_SIZE_RATIO = 1.1
"""Two objectives differ by a quarter or more, two calibrations of one by a few percent."""

_PLACES_SHOWN = 3


def _fails(coverage: float | None) -> bool:
    return coverage is not None and coverage < LEAST_COVERAGE


def model_flags(card: ModelCard) -> tuple[Flag, ...]:
    """Warn with every count of a model that was never tested on unseen frames, or whose intervals failed there."""
    confidence = card.confidence
    if confidence.frames > 0 and _fails(confidence.coverage):
        text = (
            f"Only {confidence.coverage:.0%} of the intervals held the true count when this was tested (90 % are meant "
            "to): do not rely on the interval, and check the cells by eye; many may be missing."
        )
        return (Flag(code="unreliable_interval", text=text),)
    if confidence.frames > 0:
        return ()
    text = (
        f"The accuracy of the model {card.name} {card.version} is unknown: it was never tested on images that it was "
        "not trained on. Use another model for results."
    )
    return (Flag(code="untested_model", text=text),)


def doubt_flags(doubt: float, confidence: Confidence) -> tuple[Flag, ...]:
    """Warn where the network doubts more of a frame than of those in which it misses few cells.

    Args:
        doubt: of the frame (device.counting.confidence.features).
        confidence: says how much is too much.
    """
    if confidence.most_doubt is None or doubt <= confidence.most_doubt:
        return ()
    text = (
        "The model is unsure about most of what it sees in this image: it may not know this kind of cell, and many "
        "may be missing. Look at the outlines; if cells are missing, correct a few images and teach the assay."
    )
    return (Flag(code="unsure", text=text),)


def file_flags(taken: Taken | None, view: View = "colour") -> tuple[Flag, ...]:
    """What the file leaves in doubt: range, shape of the pixels, and what is no picture of the sample.

    Args:
        taken: what is known of the file; None for a camera's frame.
        view: what the network sees; in the grey one a dim frame of 8 bits is as bright as any.
    """
    if taken is None:
        return ()
    return (*_dim(taken, view), *_doubts(taken))


def _dim(taken: Taken, view: View) -> Iterator[Flag]:
    if taken.range_from == "samples" and view == "colour" and taken.used_share < DIM_8_BIT_SHARE:
        yield Flag(
            code="dim",
            text=f"The brightest parts of the frame reach only {taken.used_share:.0%} of full light: cells may be "
            "missed, and an empty field looks the same. Expose longer; if the image was made from one of more bits, "
            "count that one.",
        )
    if taken.range_from != "samples" and taken.used_share < DIM_SHARE:
        source = {"values": "the values in the file", "header": "the file's header"}.get(
            taken.range_from, "the settings"
        )
        yield Flag(
            code="dim",
            text=f"The frame uses {taken.used_share:.0%} of the range up to {taken.full_scale} that was assumed from "
            f"{source}: faint cells may be missed. If the camera's full scale is another one, say so (Full "
            "scale on the page, --full-scale in a command), else expose longer.",
        )


def _doubts(taken: Taken) -> Iterator[Flag]:
    if "annotations" in taken.ignored_for:
        yield Flag(
            code="annotations",
            text="Something is drawn on the picture (scale bar, text, border or legend); it was left out, and cells "
            "under it are not counted: use the image without it.",
        )
    if taken.maybe_drawn:
        yield Flag(code="possible_annotations", text=_maybe_drawn(taken.maybe_drawn))
    if taken.label_image:
        yield Flag(
            code="label_image",
            text="The picture consists of even areas without any noise: it looks like a mask or label image, not like "
            "one from a camera. Leave it out, and count the image that it was made from.",
        )
    if "transparent" in taken.ignored_for:
        yield Flag(
            code="transparent",
            text="Transparent areas were left out as if they were no part of the image.",
        )
    if "missing" in taken.ignored_for:
        yield Flag(
            code="missing_tiles",
            text="Some tiles of the image are not stored in the file; they were left out as if they were black.",
        )
    if abs(taken.pixel_aspect - 1) > 0.02:
        yield Flag(
            code="pixel_shape",
            text=f"A pixel is {taken.pixel_aspect:.2f} times as high as wide: cells look squeezed to the model; "
            "resample the image to square pixels.",
        )


def _maybe_drawn(places: Sequence[tuple[int, int]]) -> str:
    shown = ", ".join(f"x {x} y {y}" for x, y in places[:_PLACES_SHOWN])
    more = f" and {len(places) - _PLACES_SHOWN} more" if len(places) > _PLACES_SHOWN else ""
    return (
        f"What has one brightness and a hard edge may be drawn (dot, arrow or letter), and may be counted as a cell: "
        f"look at {shown}{more}, or use the image without drawings."
    )


def size_flags(objective: Objective | None, assay: Assay | None, frame: Frame) -> tuple[Flag, ...]:
    """Warn where the file contradicts the objective about the size of a pixel, or either contradicts the assay."""
    expected = []
    if objective is not None:
        expected.append((f"the objective {objective.name} has", objective.pixel_size_um))
    if assay is not None and assay.pixel_size_um is not None:
        expected.append((f"the assay {assay.name} was made for", assay.pixel_size_um))
    for whose, size_um in expected:
        ratio = 1.0 if frame.pixel_size_um is None else frame.pixel_size_um / size_um
        if max(ratio, 1 / ratio) > LARGEST_SIZE_RATIO:
            text = (
                f"The image has {frame.pixel_size_um:.3g} µm per pixel, {whose} {size_um:.3g}: check the objective; "
                "cells of another size may be missed or split."
            )
            return (Flag(code="pixel_size", text=text),)
    return ()


def frame_flags(seen: MeasuredFrame, normal: NormalFrame) -> tuple[Flag, ...]:
    """Compare a frame, and its cells where it was counted, with the normal ranges of the training frames.

    Returns:
        At most one flag per code.
    """
    flags: dict[str, Flag] = {}
    for flag in _light(seen, normal):
        flags.setdefault(flag.code, flag)
    if "blank" not in flags:
        cells = _cells(seen, normal) if isinstance(seen, CountStatistics) else ()
        for flag in (*_structures(seen, normal), *cells):
            flags.setdefault(flag.code, flag)
    return tuple(flags.values())


def is_usual(seen: MeasuredFrame, normal: NormalFrame) -> bool:
    """Whether stain and brightness are as in the calibration, so that its probabilities apply."""
    return not {"wrong_stain", "unusual_brightness"} & {
        flag.code for flag in frame_flags(seen, normal)
    }


def _light(seen: MeasuredFrame, normal: NormalFrame) -> Iterator[Flag]:
    if _below(seen.contrast, normal.contrast):
        form = _apart(seen.contrast, normal.contrast, 1)
        yield Flag(
            code="blank",
            text=f"The image is almost empty (contrast {seen.contrast:{form}} grey levels, normal is "
            f"{normal.contrast.low:{form}} or more): check excitation light, shutter, exposure and field of view.",
        )
    if _above(seen.saturated_share, normal.saturated_share):
        yield Flag(
            code="saturated",
            text=f"{seen.saturated_share:.1%} of the pixels are saturated: shorten the exposure or lower the gain; "
            "bright cells may merge.",
        )
    if _outside(seen.background, normal.background):
        bright = _above(seen.background, normal.background)
        form = _apart(seen.background, normal.background, 0)
        yield Flag(
            code="unusual_brightness",
            text=f"The background is unusually {'bright' if bright else 'dark'} ({seen.background:{form}} of 255 grey "
            f"levels, normal is {_say(normal.background, form)}): check exposure, gain and stray light.",
        )


def _structures(seen: MeasuredFrame, normal: NormalFrame) -> Iterator[Flag]:
    if _outside(seen.green_share, normal.green_share) or _outside(
        seen.blue_share, normal.blue_share
    ):
        red = 1 - (seen.green_share or 0) - (seen.blue_share or 0)
        yield Flag(
            code="wrong_stain",
            text=f"The stain's colour ({red:.0%} red, {seen.green_share:.0%} green, {seen.blue_share:.0%} blue) is not "
            f"that of the training images ({_say(normal.green_share, '.0%')} green, {_say(normal.blue_share, '.0%')} "
            "blue): check filter and white balance; the count may be wrong for this stain.",
        )
    if _below(seen.sharpness, normal.sharpness):
        form = _apart(seen.sharpness, normal.sharpness, 2)
        yield Flag(
            code="out_of_focus",
            text=f"The image looks out of focus (sharpness {seen.sharpness:{form}}, normal is "
            f"{normal.sharpness.low:{form}} or more): focus again, or check the cell diameter setting.",
        )
    if _above(seen.noise, normal.noise):
        form = _apart(seen.noise, normal.noise, 2)
        yield Flag(
            code="unusual_noise",
            text=f"The image is noisier than usual ({seen.noise:{form}}, normal is at most "
            f"{normal.noise.high:{form}}): lower the gain and expose longer, or average several frames.",
        )


def _cells(seen: MeasuredCount, normal: NormalFrame) -> Iterator[Flag]:
    if seen.cell_size_ratio is not None and _outside(seen.cell_size_ratio, normal.cell_size_ratio):
        form = _apart(seen.cell_size_ratio, normal.cell_size_ratio, 1)
        yield Flag(
            code="cell_size",
            text=f"The counted objects are {seen.cell_size_ratio:{form}} times as wide as the cell diameter setting "
            f"(normal is {_say(normal.cell_size_ratio, form)} times): check the cell diameter.",
        )
    if _above(seen.covered_share, normal.covered_share):
        yield Flag(
            code="crowded",
            text=f"Cells cover {seen.covered_share:.0%} of the image, more than in any training image: touching "
            "cells may be counted as one; check the outlines or choose a less crowded field.",
        )


def _below(value: float | None, usual: Range) -> bool:
    return value is not None and usual.low is not None and value < usual.low


def _above(value: float | None, usual: Range) -> bool:
    return value is not None and usual.high is not None and value > usual.high


def _outside(value: float | None, usual: Range) -> bool:
    return _below(value, usual) or _above(value, usual)


def _say(usual: Range, form: str) -> str:
    """A range in words."""
    if usual.low is None or usual.high is None:
        bounds = [format(value, form) for value in (usual.low, usual.high) if value is not None]
        return ("at least " if usual.high is None else "at most ") + bounds[0] if bounds else "any"
    return f"{usual.low:{form}} to {usual.high:{form}}"


def _apart(value: float | None, usual: Range, digits: int) -> str:
    """The format with as few digits (at least `digits`) as show that the value is outside.

    "0.7, normal is 0.7 to 1.8" would explain nothing.
    """
    bounds = [bound for bound in (usual.low, usual.high) if bound is not None]
    forms = [f".{more}f" for more in range(digits, digits + 4)]
    return next(
        (form for form in forms if all(f"{value:{form}}" != f"{one:{form}}" for one in bounds)),
        forms[-1],
    )
