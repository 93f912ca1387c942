"""The contract of a camera, checked on the camera of this machine: `fluocount doctor --camera`.

What `tests/test_camera_contract.py` asks of every camera, for the person who has a real one and no tests.
Point it at something evenly lit and warm in colour.
"""

import time
from collections.abc import Callable
from contextlib import closing

import msgspec
import numpy as np

from device.camera import Camera, CameraControls, open_camera
from device.camera.pictures import saturated_fraction
from device.config import CameraSettings
from device.doctor.verdict import Patient, Verdict, failure, ok, warning
from device.errors import CameraBusyError, CameraError

_LIGHT = "Point the camera at something evenly lit and warm in colour, or change the exposure."
_REPORT = "Please report this line with the model of the camera."
_MOST_NOISE_FRAMES = 16
_STEP = 2.0
"""Exposure and gain are doubled to see whether the picture follows."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """An open camera on trial, its settings, and the controls that it was opened with."""

    camera: Camera
    settings: CameraSettings
    controls: CameraControls

    def levels(self, **changes: float) -> tuple[float, float, float]:
        """Mean red, green and blue of a preview (0 to 255) with some controls changed."""
        self.camera.apply(msgspec.structs.replace(self.controls, **changes))
        red, green, blue = self.camera.preview().reshape(-1, 3).mean(axis=0, dtype=np.float64)
        return float(red), float(green), float(blue)


Step = Callable[[Bench], Verdict]


def examine_camera(patient: Patient) -> list[Verdict]:
    """Open the camera and check one promise after another; what cannot be checked is said."""
    settings = patient.settings.camera
    camera = open_camera(settings)
    asked = CameraControls(
        exposure_s=settings.exposure_s,
        gain=settings.gain,
        red_gain=settings.red_gain,
        blue_gain=settings.blue_gain,
    )
    with closing(camera):
        began = time.monotonic()
        try:
            controls = camera.open(asked)
        except CameraError as error:
            return [_cannot_open(error).under("start")]
        bench = Bench(camera=camera, settings=settings, controls=controls)
        started = _verdict_of_start(bench, asked, time.monotonic() - began)
        return [started.under("start"), *(_run(step, name, bench) for name, step in STEPS.items())]


def _cannot_open(error: CameraError) -> Verdict:
    if isinstance(error, CameraBusyError):
        return failure(
            "the camera is in use, probably by the running service",
            "Stop it (sudo systemctl stop fluocount.socket fluocount), check again, start both again.",
        )
    return failure(str(error), "")


def _verdict_of_start(bench: Bench, asked: CameraControls, seconds: float) -> Verdict:
    from device.camera.ranges import tell_fitted

    found = f"{bench.camera.name} ({bench.camera.kind}) in {seconds:.1f} s"
    remarks = f"{tell_fitted(asked, bench.controls)} {bench.camera.remark}".strip()
    return warning(f"{found}. {remarks}", "See docs/camera.md.") if remarks else ok(found)


def _run(step: Step, name: str, bench: Bench) -> Verdict:
    """One step; a camera that fails it is started again for the next."""
    try:
        bench.camera.apply(bench.controls)
        return step(bench).under(name)
    except CameraError as error:
        try:
            bench.camera.close()
            bench.camera.open(bench.controls)
        except CameraError as again:
            return failure(f"{error} It does not start again: {again}", _REPORT).under(name)
        return failure(str(error), _REPORT).under(name)


def check_size(bench: Bench) -> Verdict:
    """A capture has the size asked for, and says which part of the sensor it shows."""
    began = time.monotonic()
    capture = bench.camera.capture()
    wanted = (bench.settings.height_px, bench.settings.width_px, 3)
    seconds = time.monotonic() - began
    found = f"{capture.frame.width} x {capture.frame.height} pixels in {seconds:.1f} s"
    if capture.frame.image.shape != wanted or capture.frame.image.dtype != np.uint8:
        return failure(found, _REPORT)
    if capture.field is not None:
        x, y, width, height = capture.field.crop_px
        found += (
            f", {width} x {height} at ({x}, {y}) of {capture.field.full_px[0]} x "
            f"{capture.field.full_px[1]} on the sensor"
        )
    return ok(found)


def check_controls(bench: Bench) -> Verdict:
    """The frame had the controls asked for; `capture` itself refuses one that did not."""
    real = bench.camera.capture().controls
    return ok(f"exposure {real.exposure_s * 1000:.4g} ms, gain {real.gain:.4g} in the frame itself")


def check_light(bench: Bench) -> Verdict:
    """There is something to see."""
    levels = bench.levels()
    saturated = saturated_fraction(bench.camera.preview())
    found = f"mean red {levels[0]:.0f}, green {levels[1]:.0f}, blue {levels[2]:.0f} of 255"
    if max(levels) < 3 or saturated > 0.2:
        return warning(f"{found}, {saturated:.0%} saturated: too little to judge by", _LIGHT)
    return ok(found)


def check_exposure(bench: Bench) -> Verdict:
    """Half the exposure is darker, from the first frame on."""
    return _follows(bench, "exposure_s")


def check_gain(bench: Bench) -> Verdict:
    """More gain is brighter, from the first frame on."""
    return _follows(bench, "gain")


def _follows(bench: Bench, name: str) -> Verdict:
    """Brightness rises with a control, tried between the value in use and a neighbour in range."""
    value, (low, high) = getattr(bench.controls, name), getattr(bench.camera.ranges, name)
    other = value / _STEP if value / _STEP >= low else min(value * _STEP, high)
    weak, strong = sorted((value, other))
    dark, bright = (sum(bench.levels(**{name: each})) for each in (weak, strong))
    found = f"{strong / weak:.3g} times as much is {bright / max(dark, 0.01):.2f} times as bright"
    return ok(found) if bright > 1.1 * dark else warning(found, _LIGHT)


def check_colours(bench: Bench) -> Verdict:
    """The red gain acts on red alone."""
    low, high = bench.camera.ranges.red_gain
    if low == high:
        return ok("a sensor without colour")
    more = min(_STEP * bench.controls.red_gain, high)
    before, after = bench.levels(), bench.levels(red_gain=more)
    found = f"red gain {more:.3g}: red {before[0]:.0f} to {after[0]:.0f}, green {before[1]:.0f} to {after[1]:.0f}"
    follows = after[0] > 1.1 * before[0] and abs(after[1] - before[1]) <= 0.2 * before[1] + 1
    return ok(found) if follows else warning(found, _LIGHT)


def check_average(bench: Bench) -> Verdict:
    """An average of frames has less noise than one."""
    single, mean = (
        float(np.median(np.abs(np.diff(green.astype(np.int16), axis=1))))
        for green in (
            bench.camera.capture(frames).frame.image[..., 1] for frames in (1, _MOST_NOISE_FRAMES)
        )
    )
    found = f"noise {single:.1f} in one frame, {mean:.1f} in a mean of {_MOST_NOISE_FRAMES}"
    return ok(found) if mean <= single else failure(found, _REPORT)


def check_response(bench: Bench) -> Verdict:
    """Brightness does not depend on the frames before."""
    low, high = bench.camera.ranges.exposure_s
    means = []
    for before in (
        max(low, bench.controls.exposure_s / 8),
        min(high, bench.controls.exposure_s * 4),
    ):
        for _ in range(5):
            bench.levels(exposure_s=before)
        means.append(sum(bench.levels()))
    found = f"after dark and after bright frames the same scene differs by {_apart(means):.1%}"
    return ok(found) if _apart(means) < 0.03 else warning(found, f"{_LIGHT} {_REPORT}")


def _apart(pair: list[float]) -> float:
    return abs(pair[0] - pair[1]) / max(*pair, 0.01)


def check_refusal(bench: Bench) -> Verdict:
    """A value out of range is refused, and the camera goes on."""
    high = bench.camera.ranges.gain[1]
    try:
        bench.camera.apply(msgspec.structs.replace(bench.controls, gain=10 * high))
    except CameraError as error:
        bench.camera.preview()
        return ok(str(error))
    return failure(f"gain {10 * high:g} was accepted", _REPORT)


def check_reopening(bench: Bench) -> Verdict:
    """The camera starts again after a stop, three times."""
    began = time.monotonic()
    for _ in range(3):
        bench.camera.close()
        bench.camera.open(bench.controls)
        bench.camera.preview()
    return ok(f"three times in {time.monotonic() - began:.1f} s")


STEPS: dict[str, Step] = {
    "size": check_size,
    "controls": check_controls,
    "light": check_light,
    "exposure": check_exposure,
    "gain": check_gain,
    "colours": check_colours,
    "average": check_average,
    "response": check_response,
    "refusal": check_refusal,
    "reopening": check_reopening,
}
