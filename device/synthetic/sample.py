"""The shipped sample, a synthetic frame of known count: `python -m device.synthetic.sample DIR`."""

import io
import sys
from pathlib import Path

import msgspec
from PIL import Image

from device.machine.files import write_atomic
from device.synthetic import SyntheticSettings, make_frame

SEED = 11
SETTINGS = SyntheticSettings(cells=24, strips=1)
NAME = "neurons"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the sample, stored beside it as JSON."""

    image: str
    count: int
    seed: int
    settings: SyntheticSettings


def write_sample(folder: Path) -> Path:
    """Write `neurons.jpg` (under 1 MB) and `neurons.json`; returns the picture's path."""
    made = make_frame(SEED, SETTINGS)
    data = io.BytesIO()
    Image.fromarray(made.frame.image).save(data, "JPEG", quality=92, subsampling=0)
    record = Sample(image=f"{NAME}.jpg", count=made.count, seed=SEED, settings=SETTINGS)
    picture = folder / record.image
    write_atomic(picture, data.getvalue())
    pretty = msgspec.json.format(msgspec.json.encode(record), indent=2)
    write_atomic(picture.with_suffix(".json"), pretty + b"\n")
    return picture


if __name__ == "__main__":
    print(write_sample(Path(sys.argv[1])))
