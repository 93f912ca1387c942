"""A stand-in for picamera2 0.3.36 as far as device.camera uses it, with the ways in which it fails.

It keeps the real one's rules: streams of even size, lores in YUV420 with padded rows, sizes above the
sensor's adjusted silently, controls only by their advertised names, controls set live arrive three
frames late, a fixed exposure only with the automatic switched off, frames stop when no buffer is given
back, one holder at a time, a timed-out job stays queued and blocks close() until it is cancelled, a
failed constructor leaves its object registered, its pipe open and the camera acquired, a USB camera
aborts the process when it is asked for two streams, the tuning file is read when libcamera starts, and
its `ce_enable` makes the brightness of a frame follow the one before.

What the sensor is and does lies in a file, so that a test steers the one in another process just as
the one in its own.
"""

import atexit
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

LATENCY_FRAMES = 3
SHORTEST_US, LONGEST_US = 60, 100_000_000

MODES = {  # (readout, field it sees)
    "imx477": [((4056, 3040), (4056, 3040)), ((2028, 1520), (4056, 3040)),
               ((2028, 1080), (4056, 2160)), ((1332, 990), (2664, 1980))],
    "imx219": [((3280, 2464), (3280, 2464)), ((1920, 1080), (1920, 1080)),
               ((1640, 1232), (3280, 2464)), ((640, 480), (1280, 960))],
    "imx708": [((4608, 2592), (4608, 2592)), ((2304, 1296), (4608, 2592)),
               ((1536, 864), (3072, 1728))],
    "ov5647": [((2592, 1944), (2592, 1944)), ((1920, 1080), (1928, 1080)),
               ((1296, 972), (2592, 1944)), ((640, 480), (2560, 1920))],
    "imx296": [((1456, 1088), (1456, 1088))],
}  # fmt: skip
OFFERS = {
    "AeEnable": (False, True, True),
    "AwbEnable": (False, True, True),
    "ExposureTime": (SHORTEST_US, LONGEST_US, 20_000),
    "AnalogueGain": (1.0, 16.0, 1.0),
    "ColourGains": (0.0, 32.0, None),
    "FrameDurationLimits": (47_183, 127_156, 33_333),
    "NoiseReductionMode": (0, 4, 0),
}
DEFAULTS = {
    "present": True,
    "model": "imx477",
    "id": "/base/soc/i2c0mux/i2c@1/imx477@1a",
    "mono": False,
    "colour_filter": True,  # picamera2 takes a camera without it for one on USB
    "without": [],  # controls that this sensor does not offer
    "lowest_gain": 1.0,
    "other_program": False,
    "stalled": False,
    "exposure_factor": 1.0,
    "wrong_frames": 0,
    "line_us": 0,  # exposures are whole lines; digital gain makes up for the rest
    "frame_s": 0.002,
    "opened": 0,
    # place -> what happens there: hang (every thread of the process), abort, or a kind of error.
    # Places: acquire, allocator, configure, start, stop, frame, close.
    "trouble": {},
}


class Sensor:
    """The hardware: shared by all Picamera2 objects of all processes, and where tests cause trouble."""

    def __init__(self, folder):
        self.__dict__["folder"] = Path(folder)

    def __getattr__(self, name):
        return self._read()[name]

    def __setattr__(self, name, value):
        self.update(lambda state: state | {name: value})

    def _read(self):
        try:
            return DEFAULTS | json.loads((self.folder / "state.json").read_bytes())
        except FileNotFoundError:  # the test is over
            return DEFAULTS

    def update(self, change):
        with (self.folder / "state.lock").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            before = self._read()
            after = change(dict(before))
            (self.folder / "state.new").write_text(json.dumps(after))
            (self.folder / "state.new").rename(self.folder / "state.json")
        return before

    def acquire(self):
        """A descriptor that holds the camera while it is open, as the kernel does it."""
        holder = os.open(self.folder / "camera", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            if self.other_program:
                raise BlockingIOError
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(holder)
            raise RuntimeError("Failed to acquire camera: Device or resource busy") from None
        self.update(lambda state: state | {"opened": state["opened"] + 1})
        return holder

    @property
    def held(self):
        with (self.folder / "camera").open("a") as probe:
            try:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def suffer(self, place):
        match self.trouble.get(place):
            case None:
                return
            case "hang":
                # libcamera's binding keeps the interpreter's lock: no thread of this process goes on.
                os.kill(os.getpid(), signal.SIGSTOP)
            case "abort":
                os.abort()
            case "OSError":
                raise OSError(12, "Cannot allocate memory")
            case "MemoryError":
                raise MemoryError("Cannot allocate contiguous memory")
            case "RuntimeError":
                raise RuntimeError("Failed to start camera: Input/output error")


SENSOR = Sensor(os.environ.get("FAKE_PICAMERA2", "/nonexistent"))


class _CameraManager:
    def __init__(self):
        self.cameras = {}
        self._cms = None

    @property
    def cms(self):
        if self._cms is None:
            path = os.environ.get("LIBCAMERA_RPI_TUNING_FILE")
            name = SENSOR.model + ("_mono" if SENSOR.mono else "")
            standard = SENSOR.folder / "tuning" / f"{name}.json"
            path = path or (standard if standard.exists() else None)
            self._cms = {"tuning": json.loads(Path(path).read_text()) if path else {}, "last": 0.0}
        return self._cms

    def add(self, index, camera):
        self.cameras[index] = camera

    def cleanup(self, index):
        del self.cameras[index]
        if not self.cameras:
            self._cms = None


class _Allocator:
    def __init__(self):
        SENSOR.suffer("allocator")


class _LibcameraCamera:
    def __init__(self):
        self.id = SENSOR.id


class Picamera2:
    _cm = _CameraManager()

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        if tuning is None:
            os.environ.pop("LIBCAMERA_RPI_TUNING_FILE", None)
        else:
            os.environ["LIBCAMERA_RPI_TUNING_FILE"] = tuning
        self.notifyme_r, self.notifyme_w = os.pipe2(os.O_NONBLOCK)
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        self._preview = None
        self.is_open = False
        camera_num = self.global_camera_info()[camera_num]["Num"]
        self._cm.add(camera_num, self)
        self.camera_idx = camera_num
        self.lock = threading.Lock()
        self._job_list = []
        self._config = None
        self._set, self._live = {}, []
        self._thread = None
        self._running = threading.Event()
        self._free_buffers = 0
        self._crop = self._full
        try:
            SENSOR.suffer("acquire")
            self._holder = SENSOR.acquire()
        except Exception as error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.is_open = True
        self.camera = _LibcameraCamera()
        atexit.register(self.close)
        self.allocator = _Allocator()

    @staticmethod
    def global_camera_info():
        _ = Picamera2._cm.cms
        return [{"Model": SENSOR.model, "Id": SENSOR.id, "Num": 0}] * SENSOR.present

    @staticmethod
    def load_tuning_file(tuning_file, dir=None):
        path = SENSOR.folder / "tuning" / tuning_file
        if not path.is_file():
            raise RuntimeError("Tuning file not found")
        return json.loads(path.read_text())

    @property
    def _full(self):
        return MODES[SENSOR.model][0][0]

    @property
    def _raw_modes(self):
        return [{"format": "SRGGB12_CSI2P", "size": size} for size, _ in MODES[SENSOR.model]]

    @property
    def camera_controls(self):
        crop = (0, 0, *self._crop)
        offers = OFFERS | {"ScalerCrop": ((0, 0, 64, 64), crop, crop)}
        offers["AnalogueGain"] = (SENSOR.lowest_gain, 16.0, SENSOR.lowest_gain)
        return {name: offer for name, offer in offers.items() if name not in SENSOR.without}

    @property
    def camera_properties(self):
        properties = {"Model": SENSOR.model, "PixelArrayActiveAreas": [(8, 16, *self._full)]}
        colour = {"ColorFilterArrangement": 5 if SENSOR.mono else 0}
        return properties | (colour if SENSOR.colour_filter else {})

    @property
    def is_mono(self):
        return self.camera_properties["ColorFilterArrangement"] == 5

    def create_still_configuration(
        self,
        main=None,
        lores=None,
        raw=(),
        buffer_count=1,
        controls=None,
        queue=True,
        display=None,
        sensor=(),
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
            "raw": None if raw is None else {"size": main["size"]} | dict(raw),
            "sensor": dict(sensor or {}),
            "buffer_count": buffer_count,
            "queue": queue,
            "controls": still | (controls or {}),
        }

    def configure(self, config):
        if self._thread is not None:
            raise RuntimeError("Camera must be stopped before configuring")
        main, lores = dict(config["main"]), config["lores"]
        if main["format"] not in ("BGR888", "RGB888"):
            raise RuntimeError("Bad format " + main["format"] + " in stream main")
        if lores["format"] != "YUV420":
            raise RuntimeError("lores stream must be YUV")
        if any(small > large for small, large in zip(lores["size"], main["size"], strict=True)):
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        if not SENSOR.colour_filter and not SENSOR.id.startswith("Virtual"):
            os.abort()  # one stream where two are asked: an assertion of libcamera
        SENSOR.suffer("configure")
        if config["buffer_count"] > 3:
            raise MemoryError("Cannot allocate contiguous memory")
        main["size"] = tuple(min(pair) for pair in zip(main["size"], self._full, strict=True))
        mode, self._crop = self._choose(config["sensor"].get("output_size") or main["size"])
        self._config = config | {"main": main, "sensor": {"output_size": mode, "bit_depth": 12}}
        self._set = dict(config["controls"])

    @staticmethod
    def _choose(wanted):
        """libcamera's scoring: too small costs eight times what too large costs, and shape counts."""

        def score(mode):
            pairs = zip(wanted, mode[0], strict=True)
            size = sum(2 * (want - got) if want > got else (got - want) / 4 for want, got in pairs)
            shape = wanted[0] / wanted[1] - mode[0][0] / mode[0][1]
            return size + 1500 * (2 * shape if shape > 0 else -shape / 4)

        return min(MODES[SENSOR.model], key=score)

    def camera_configuration(self):
        return self._config

    def set_controls(self, controls):
        for name in controls:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        if self._thread is None:
            self._set |= controls
        else:
            self._live.append([LATENCY_FRAMES, dict(controls)])

    def start(self):
        if self._config is None:
            raise RuntimeError("Camera has not been configured")
        if self._thread is None:
            SENSOR.suffer("start")
            self._free_buffers = self._config["buffer_count"]
            self._running.set()
            self._thread = threading.Thread(target=self._frames, daemon=True)
            self._thread.start()

    def stop(self):
        if self._thread is None:
            return
        SENSOR.suffer("stop")
        if self._job_list:
            # The real one waits for a frame that never comes.
            self._job_list[0].future.exception(timeout=60)
        self._running.clear()
        self._thread.join()
        self._thread = None

    def close(self):
        atexit.unregister(self.close)
        if not self.is_open:
            return
        SENSOR.suffer("close")
        self.stop()
        os.close(self._holder)
        self._cm.cleanup(self.camera_idx)
        self.is_open = False
        self.notifymeread.close()
        os.close(self.notifyme_w)
        del self.allocator
        self.allocator = _Allocator()

    def __del__(self):
        self.close()

    def cancel_all_and_flush(self):
        with self.lock:
            for job in self._job_list:
                job.future.set_exception(CancelledError())
            self._job_list = []

    def capture_request(self, wait=None, signal_function=None, flush=None):
        if not self.is_open:
            raise RuntimeError("Camera not opened")
        SENSOR.suffer("frame")
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
            if SENSOR.stalled or self._free_buffers < 1:
                continue
            request = None
            with self.lock:
                if self._job_list and began >= self._job_list[0].after:
                    request = _Request(self, began, dict(self._set))
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
            SENSOR.update(lambda state: state | {"wrong_frames": state["wrong_frames"] - 1})
            exposure *= 3
        asked, line = exposure, SENSOR.line_us
        if line:
            exposure = max(line, exposure // line * line)
        self._exposure = int(exposure * SENSOR.exposure_factor)
        self._metadata = {
            "SensorTimestamp": began_ns + 1000 * self._exposure,
            "ExposureTime": self._exposure,
            "AnalogueGain": 2.7 if automatic else controls["AnalogueGain"] * 1.002,
            "DigitalGain": min(4.0, max(1.0, asked / exposure)),
            "ScalerCrop": (0, 0, *camera._crop),
        }
        if "ColourGains" not in SENSOR.without:
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
        gain = self._metadata["AnalogueGain"] * self._metadata["DigitalGain"]
        light = self._exposure / 1e5 * gain * self._stretch()
        y, x = np.mgrid[0:height, 0:width]
        squares = ((x * 8 // width) % 2 == 1) & ((y * 8 // height) % 2 == 1)
        image = np.empty((height, width, 3))
        for channel, level in enumerate((90 * red_gain, 60, 20 * blue_gain)):
            image[..., channel] = 3 + light * level * squares + rng.normal(0, 1, (height, width))
        self._camera._cm.cms["last"] = float(image.mean())
        return np.clip(image, 0, 255).astype(np.uint8)

    def _stretch(self):
        """With `ce_enable`, the frame before decides how far the tones are stretched."""
        manager = self._camera._cm.cms
        for one in manager["tuning"].get("algorithms", []):
            if one.get("rpi.contrast", {}).get("ce_enable"):
                return 1.0 / (0.5 + manager["last"] / 50)
        return 1.0


def _yuv420(picture, stride):
    height, width = picture.shape[:2]
    planes = [np.asarray(plane) for plane in Image.fromarray(picture).convert("YCbCr").split()]
    out = np.full((height * 3 // 2, stride), 77, np.uint8)  # padding is not zero in real buffers
    out[:height, :width] = planes[0]
    chroma = out[height:].reshape(2, height // 2, stride // 2)
    for target, plane in zip(chroma, planes[1:], strict=True):
        target[:, : width // 2] = plane[::2, ::2]
    return out


def lay_out(folder, version="0.3.36"):
    """Write what makes `import picamera2` find the stand-in, for a PYTHONPATH with this folder in it."""
    (folder / "picamera2.py").write_text("from fake_picamera2 import Picamera2 as Picamera2\n")
    metadata = folder / f"picamera2-{version}.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: picamera2\nVersion: {version}\n")
    sensor = Sensor(folder)
    sensor.update(lambda state: state)
    return sensor


@contextmanager
def installed(version="0.3.36"):
    """The stand-in, in this process and in those started from here; yields the Sensor."""
    global SENSOR
    folder = Path(tempfile.mkdtemp(prefix="fake-picamera2-"))
    SENSOR = lay_out(folder, version)
    Picamera2._cm = _CameraManager()
    os.environ["FAKE_PICAMERA2"] = str(folder)
    sys.path.insert(0, str(folder))
    try:
        yield SENSOR
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("picamera2", None)
        del os.environ["FAKE_PICAMERA2"]
        shutil.rmtree(folder)
