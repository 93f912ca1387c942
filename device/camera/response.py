"""A fixed response: equal light gives equal pixels, regardless of the rest of the field.

The tuning files of libcamera switch on what follows the scene: a tone curve stretched by the frame
before (`ce_enable`), colour shading that adapts, saturation by the estimated light, and on a Pi 5 a mean
over earlier frames. Here they are switched off. What remains is fixed for given controls: the gamma
curve, lens shading and colour matrix of the file, sharpening, noise reduction by gain, and the
replacement of single defect pixels.
"""

import copy
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

Tuning = dict[str, Any]

_ENVIRONMENT = "LIBCAMERA_RPI_TUNING_FILE"
_SUBDEVICES = "sys/class/video4linux"
_SENSOR_NAME = re.compile(r"^(.+) \d+-[0-9a-f]{4}$")
"""A sensor's entity is named after model, I2C bus and address: "imx477 10-001a"."""


def fix_response(tuning: Tuning) -> Tuning:
    """The same tuning with everything switched off that follows the scene."""
    fixed = copy.deepcopy(tuning)
    for name, values in _algorithms(fixed):
        match name:
            case "rpi.contrast":
                values["ce_enable"] = 0
            case "rpi.alsc":
                values["n_iter"] = 0  # the calibrated table stays, its adaptation does not
            case "rpi.ccm":
                values.pop("saturation", None)
            case "rpi.geq":
                values.pop("strength", None)
            case "rpi.denoise":
                for mode in (values, *values.values()):
                    if isinstance(mode, dict):
                        mode.pop("tdn", None)
    return fixed


def _algorithms(tuning: Tuning) -> list[tuple[str, dict[str, Any]]]:
    """(name, parameters) of version 1, one mapping, and version 2, a list of mappings."""
    listed = tuning.get("algorithms")
    return (
        list(tuning.items()) if listed is None else [pair for one in listed for pair in one.items()]
    )


def sensor_models(root: Path = Path("/")) -> set[str]:
    """Models of the parts of cameras that the kernel knows: sensors, and the lens of an autofocus.

    Asked of the kernel because libcamera reads the tuning file when it starts, before it says which
    sensor there is.
    """
    names = (path.read_text(errors="replace") for path in (root / _SUBDEVICES).glob("*/name"))
    return {match[1] for name in names if (match := _SENSOR_NAME.match(name.strip()))}


class FixedTuning:
    """The tuning file with a fixed response for the sensor of this machine, while it is open.

    Args:
        maker: Picamera2, which knows where the files are.
        mono: take the file for the sensor without colour filter where there are two.
        root: of the file system.

    Attributes:
        model: of the sensor it is for, None when there is none: then libcamera's own is used.
        for_mono: it is the one for the sensor without colour filter.
        path: of the file.
    """

    def __init__(self, maker: Any, mono: bool = False, root: Path = Path("/")) -> None:
        self.model: str | None = None
        self.for_mono = False
        self.path: str | None = None
        self._file: Any = None
        found = _load(maker, sensor_models(root), mono)
        if len(found) != 1:  # with two sensors, one would get the other's
            return
        [(self.model, self.for_mono, tuning)] = found
        self._file = tempfile.NamedTemporaryFile("w", suffix=".json")  # noqa: SIM115 - closed in close()
        json.dump(fix_response(tuning), self._file)
        self._file.flush()
        self.path = self._file.name

    def __enter__(self) -> "FixedTuning":
        """Let libcamera find it; picamera2 takes the variable away again."""
        os.environ.pop(_ENVIRONMENT, None)
        if self.path is not None:
            os.environ[_ENVIRONMENT] = self.path
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the file: libcamera has read it."""
        os.environ.pop(_ENVIRONMENT, None)
        if self._file is not None:
            self._file.close()


def _load(maker: Any, models: set[str], mono: bool) -> list[tuple[str, bool, Tuning]]:
    """(model, for_mono, tuning) of each model that has a tuning file; a lens has none."""
    found = []
    for model in sorted(models):
        for for_mono in (True,) if mono else (False, True):
            try:
                tuning = maker.load_tuning_file(f"{model}{'_mono' if for_mono else ''}.json")
            except (RuntimeError, OSError, ValueError) as error:
                _log.debug("No tuning for %s: %s", model, error)
                continue
            if isinstance(tuning, Mapping):
                found.append((model, for_mono, dict(tuning)))
                break
    return found
