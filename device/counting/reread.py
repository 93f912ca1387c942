"""Whether an image is understood today as it was when it was counted: a newer version may read a file differently."""

from device.counting.records import CountResult, Frame, Taken, with_pixel_size


def reading_differences(result: CountResult, frame: Frame) -> tuple[str, ...]:
    """What a frame, decoded now, has otherwise than the frame that a result is of.

    Args:
        result: of the same file.
        frame: the file, read again as it was asked for then.

    Returns:
        One phrase for each difference, such as "full scale 4095, it was 65535"; () where there is none.
    """
    now, then = frame.taken or Taken(full_scale=frame.full_scale), result.taken
    size_um = with_pixel_size(frame, result).pixel_size_um
    pairs = (
        ("size", (frame.width, frame.height), (result.width, result.height)),
        ("channels", frame.channels, result.channels),
        ("channel", now.channel, then.channel),
        ("plane", now.plane, then.plane),
        ("offset", now.offset, then.offset),
        ("full scale", now.full_scale, then.full_scale),
        ("what is left out", now.ignored_for, then.ignored_for),
        ("pixels left out", now.ignored_px, then.ignored_px),
        ("pixel size in µm", size_um, result.pixel_size_um),
    )
    return tuple(
        f"{name} {_show(after)}, it was {_show(before)}"
        for name, after, before in pairs
        if after != before
    )


def _show(value: object) -> str:
    if isinstance(value, tuple):
        value = " and ".join(str(part) for part in value)
    if value is None or value == "":
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
