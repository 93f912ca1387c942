"""A stand-in for picamera2 0.3.36 as far as device.camera uses it, with the ways in which it fails.

It keeps the real one's rules: streams of even size, lores in YUV420 with padded rows, controls only
by their advertised names, controls set live arrive three frames late, a fixed exposure only with the
automatic switched off, frames stop when no buffer is given back, one holder at a time, a timed-out
job stays queued and blocks close() until it is cancelled.
"""

import sys
import threading
import time
import types
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager

import numpy as np
from PIL import Image

LATENCY_FRAMES = 3
SHORTEST_US, LONGEST_US = 60, 100_000_000


class Sensor:
    """The hardware: shared by all Picamera2 objects, and where tests cause trouble."""

    def __init__(self):
        self.present = True
        self.holder = None
        self.stalled = threading.Event()
        self.hang_on_close = False
        self.exposure_factor = 1.0
        self.wrong_frames = 0
        self.frame_s = 0.002
        self.opened = 0
        self.offers = {
            "AeEnable": (False, True, True),
            "AwbEnable": (False, True, True),
            "ExposureTime": (SHORTEST_US, LONGEST_US, 20_000),
            "AnalogueGain": (1.0, 16.0, 1.0),
            "ColourGains": (0.0, 32.0, None),
            "FrameDurationLimits": (47_183, 127_156, 33_333),
            "NoiseReductionMode": (0, 4, 0),
        }


SENSOR = Sensor()


class Picamera2:
    def __init__(self, camera_num=0):
        self._held = False
        self.global_camera_info()[camera_num]
        try:
            if SENSOR.holder is not None:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
        except RuntimeError as error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from error
        SENSOR.holder, self._held = self, True
        SENSOR.opened += 1
        self.lock = threading.RLock()
        self._job_list = []
        self._config = None
        self._set, self._live = {}, []
        self._thread = None
        self._running = threading.Event()
        self._free_buffers = 0

    @staticmethod
    def global_camera_info():
        return [
            {"Model": "imx477", "Id": "/base/soc/i2c0mux/i2c@1/imx477@1a", "Num": 0}
        ] * SENSOR.present

    @property
    def camera_controls(self):
        return dict(SENSOR.offers)

    def create_still_configuration(
        self,
        main=None,
        lores=None,
        raw=None,
        buffer_count=1,
        controls=None,
        queue=True,
        display=None,
    ):
        main = {"format": "BGR888", "size": (4056, 3040)} | (main or {})
        main["size"] = tuple(size - size % 2 for size in main["size"])
        if lores is not None:
            lores = {"format": "YUV420", "size": main["size"]} | lores
            lores["size"] = tuple(size - size % 2 for size in lores["size"])
        still = {"NoiseReductionMode": 2, "FrameDurationLimits": (100, 1_000_000_000)}
        return {
            "main": main,
            "lores": lores,
            "buffer_count": buffer_count,
            "queue": queue,
            "controls": still | (controls or {}),
        }

    def configure(self, config):
        if self._thread is not None:
            raise RuntimeError("Camera must be stopped before configuring")
        main, lores = config["main"], config["lores"]
        if main["format"] not in ("BGR888", "RGB888"):
            raise RuntimeError("Bad format " + main["format"] + " in stream main")
        if lores["format"] != "YUV420":
            raise RuntimeError("lores stream must be YUV")
        if any(small > large for small, large in zip(lores["size"], main["size"], strict=True)):
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        if main["size"][0] > 4056 or main["size"][1] > 3040:
            raise RuntimeError("Invalid camera configuration")
        if config["buffer_count"] > 3:
            raise MemoryError("Cannot allocate contiguous memory")
        self._config = config
        self._set = dict(config["controls"])

    def camera_configuration(self):
        return self._config

    def set_controls(self, controls):
        for name in controls:
            if name not in SENSOR.offers:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        if self._thread is None:
            self._set |= controls
        else:
            self._live.append([LATENCY_FRAMES, dict(controls)])

    def start(self):
        if self._config is None:
            raise RuntimeError("Camera has not been configured")
        if self._thread is None:
            self._free_buffers = self._config["buffer_count"]
            self._running.set()
            self._thread = threading.Thread(target=self._frames, daemon=True)
            self._thread.start()

    def stop(self):
        if self._thread is None:
            return
        if self._job_list:
            # The real one waits for a frame that never comes.
            self._job_list[0].future.exception(timeout=60)
        self._running.clear()
        self._thread.join()
        self._thread = None

    def close(self):
        if not self._held:
            return
        if SENSOR.hang_on_close:
            threading.Event().wait(60)
        self.stop()
        SENSOR.holder, self._held = None, False

    def cancel_all_and_flush(self):
        with self.lock:
            for job in self._job_list:
                job.future.set_exception(CancelledError())
            self._job_list = []

    def capture_request(self, wait=None, signal_function=None, flush=None):
        if not self._held:
            raise RuntimeError("Camera not opened")
        after = time.monotonic_ns() if flush is True else flush or 0
        job = _Job(after)
        with self.lock:
            self._job_list.append(job)
        return job.future.result(timeout=None if wait in (None, True) else wait)

    def _frames(self):
        while self._running.is_set():
            began = time.monotonic_ns()
            time.sleep(SENSOR.frame_s)
            for change in self._live:
                change[0] -= 1
                if change[0] < 0:
                    self._set |= change[1]
            self._live = [change for change in self._live if change[0] >= 0]
            if SENSOR.stalled.is_set() or self._free_buffers < 1:
                continue
            request = _Request(self, began, dict(self._set))
            with self.lock:
                if self._job_list and began >= self._job_list[0].after:
                    self._free_buffers -= 1
                    self._job_list.pop(0).future.set_result(request)


class _Job:
    def __init__(self, after):
        self.after = after
        self.future = Future()


class _Request:
    def __init__(self, camera, began_ns, controls):
        self._camera, self._config = camera, camera._config
        self._released = False
        automatic = controls.get("AeEnable", True)
        exposure = 33_000 if automatic else controls["ExposureTime"]
        if SENSOR.wrong_frames:
            SENSOR.wrong_frames -= 1
            exposure *= 3
        self._exposure = int(exposure * SENSOR.exposure_factor)
        self._metadata = {
            "SensorTimestamp": began_ns + 1000 * self._exposure,
            "ExposureTime": self._exposure,
            "AnalogueGain": 2.7 if automatic else controls["AnalogueGain"] * 1.002,
            "DigitalGain": 1.0,
        }
        if "ColourGains" in SENSOR.offers:
            fixed = not controls.get("AwbEnable", True)
            self._metadata["ColourGains"] = controls["ColourGains"] if fixed else (2.1, 1.6)

    def get_metadata(self):
        assert not self._released, "request used after release"
        return dict(self._metadata)

    def make_array(self, name):
        assert not self._released, "request used after release"
        stream = self._config[name]
        width, height = stream["size"]
        picture = self._picture(width, height)
        if name == "main":
            return picture if stream["format"] == "BGR888" else picture[..., ::-1].copy()
        return _yuv420(picture, stride=-(-width // 64) * 64 + 64)

    def release(self):
        assert not self._released, "released twice"
        self._released = True
        self._camera._free_buffers += 1

    def _picture(self, width, height):
        """Amber squares on black, brighter with exposure and gain."""
        rng = np.random.default_rng(self._metadata["SensorTimestamp"])
        red_gain, blue_gain = self._metadata.get("ColourGains", (1.0, 1.0))
        light = self._exposure / 1e5 * self._metadata["AnalogueGain"]
        y, x = np.mgrid[0:height, 0:width]
        squares = ((x * 8 // width) % 2 == 1) & ((y * 8 // height) % 2 == 1)
        image = np.empty((height, width, 3))
        for channel, level in enumerate((90 * red_gain, 60, 20 * blue_gain)):
            image[..., channel] = 3 + light * level * squares + rng.normal(0, 1, (height, width))
        return np.clip(image, 0, 255).astype(np.uint8)


def _yuv420(picture, stride):
    height, width = picture.shape[:2]
    planes = [np.asarray(plane) for plane in Image.fromarray(picture).convert("YCbCr").split()]
    out = np.full((height * 3 // 2, stride), 77, np.uint8)  # padding is not zero in real buffers
    out[:height, :width] = planes[0]
    chroma = out[height:].reshape(2, height // 2, stride // 2)
    for target, plane in zip(chroma, planes[1:], strict=True):
        target[:, : width // 2] = plane[::2, ::2]
    return out


@contextmanager
def installed():
    """Put the stand-in into sys.modules; yields the Sensor."""
    global SENSOR
    SENSOR = Sensor()
    module = types.ModuleType("picamera2")
    module.Picamera2 = Picamera2
    module.__spec__ = types.SimpleNamespace(name="picamera2")
    before = sys.modules.get("picamera2")
    sys.modules["picamera2"] = module
    try:
        yield SENSOR
    finally:
        SENSOR.stalled.clear()
        if before is None:
            del sys.modules["picamera2"]
        else:
            sys.modules["picamera2"] = before
