"""Malformed image files: every trick of tests/hostile.py through the page, then random damage to good files.

Each must be refused with a sentence, or give a frame; an undamaged one must give its own samples. A process that
decodes may end, the program may not.
"""

import importlib.util
import io
import random
from collections.abc import Iterator
from pathlib import Path

import forms
import hostile
import imagecodecs
import numpy as np
import tifffile
from appliance import make_service
from conftest import DATA_DIR
from PIL import Image

from attacks.figures import Figures, Stopwatch
from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.errors import InputError
from device.sandbox import open_image
from device.web import create_app

DEFAULT_SIZE = 200_000
_THROUGH_THE_PAGE = 50
"""One in so many goes through the page; the others straight to the decoders, which takes a fifth of the time."""


def attack(folder: Path, size: int, tricks: bool = True, seed: int = 0) -> Figures:
    """`size` files, the tricks among them; another seed damages otherwise."""
    figures = Figures()
    chance = random.Random(f"{size} {seed}")
    client = create_app(make_service(folder)).test_client()
    contained = 0
    if tricks:
        for name, make in hostile.TRICKS.items():
            contained += _hand_in(client, make(), f"{name}.tif", figures)
    for number, (data, samples) in enumerate(_files(chance, size - figures.tried)):
        if number % _THROUGH_THE_PAGE == 0:
            contained += _hand_in(client, data, f"{number}.png", figures)
        else:
            contained += _decode(data, f"{number}.png", samples, figures)
    figures.notes.append(f"{contained} cost a decoding process")
    figures.check(_is_well(client), "the page does not answer as before")
    return figures


def go_on(folder: Path, size: int, tried: int) -> Figures:
    """`size` more files after those that were tried, damaged otherwise; not the tricks again."""
    return attack(folder, size, tricks=False, seed=tried)


def _decode(data: bytes, name: str, samples: np.ndarray | None, figures: Figures) -> bool:
    """True when it cost the process that decodes."""
    figures.tried += 1
    try:
        with Stopwatch(figures), open_image(data, name, _reading(figures.tried)) as image:
            image.header()
            frame = image.frame()
    except InputError as error:
        figures.wrong += samples is not None and _reading(figures.tried) == AS_THE_FILE_SAYS
        return _was_contained(str(error))
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        figures.crashes += 1
        figures.check(False, f"{type(error).__name__}: {error}")
        return False
    if samples is not None and _reading(figures.tried) == AS_THE_FILE_SAYS:
        figures.wrong += not np.array_equal(
            np.squeeze(frame.image[..., : samples.shape[2]]), np.squeeze(samples)
        )
    return False


def _reading(number: int) -> Reading:
    """Every other file is asked for one of its channels, and for all its planes as one."""
    return Reading(channel="1", project="max") if number % 2 else AS_THE_FILE_SAYS


def _hand_in(client, data: bytes, name: str, figures: Figures) -> bool:
    """The same through the page, and away again."""
    figures.tried += 1
    with Stopwatch(figures):
        answer = client.post("/api/v1/counts", data={"image": (io.BytesIO(data), name)})
    figures.answered(answer.status_code)
    if answer.status_code == 202:
        address = f"/api/v1/counts/{answer.json['id']}"
        figures.wrong += client.get(f"{address}/image").data != data
        client.delete(address)
        return False
    # 503: other programs leave too little time to tell; the sender is asked to come again.
    figures.check(
        answer.status_code in (400, 413, 503), f"{name} was answered {answer.status_code}"
    )
    return _was_contained(answer.json["error"])


def _was_contained(sentence: str) -> bool:
    return any(words in sentence for words in ("crash", "takes longer", "far more memory"))


def _is_well(client) -> bool:
    return client.get("/api/v1/status").status_code == 200


def _files(chance: random.Random, number: int) -> Iterator[tuple[bytes, np.ndarray | None]]:
    """Files, and the samples of those that are as they should be (one in a hundred)."""
    good = list(_good_files())
    for index in range(number):
        data, samples = chance.choice(good)
        if index % 100 == 0:
            yield data, samples
        else:
            yield _damaged(bytearray(data), chance), None


def _good_files() -> Iterator[tuple[bytes, np.ndarray | None]]:
    rng = np.random.default_rng(3)
    for kind in (np.uint8, np.uint16):
        for channels in (1, 3):
            samples = rng.integers(0, np.iinfo(kind).max, (48, 64, channels), kind, endpoint=True)
            plain = np.squeeze(samples)
            yield imagecodecs.png_encode(plain), samples
            for options in ({}, {"compression": "zlib"}, {"compression": "lzw", "predictor": 2}):
                yield _tiff(plain, **options), samples
            yield _tiff(plain, tile=(16, 16), compression="zlib", bigtiff=True), samples
            yield _tiff(plain, ome=True), samples
            yield _tiff(plain, imagej=True), samples
    for options in ({}, {"progressive": True}):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(stream, "JPEG", **options)
        yield stream.getvalue(), None
    stack = rng.integers(0, 4096, (3, 48, 64), np.uint16)
    for axes in ("ZYX", "CYX", "TYX"):
        metadata = {"axes": axes, "PhysicalSizeX": 0.5, "SignificantBits": 12}
        yield _tiff(stack, ome=True, metadata=metadata), None
    yield _tiff(stack, imagej=True), None
    yield from ((data, None) for data in _microscope_files())
    yield from ((data, None) for data in _odd_files(stack))
    for codec in ("jpeg", "jpeg2000", "webp", "jpegxl", "zstd", "packbits"):
        yield _tiff(rng.integers(0, 256, (48, 64, 3), np.uint8), compression=codec), None


def _odd_files(stack: np.ndarray) -> Iterator[bytes]:
    """Forms that few programs write: passes, palettes, few bits, pages behind others, headers of makers."""
    grey, colours = (stack[0] >> 4).astype(np.uint8), (np.moveaxis(stack, 0, 2) >> 4)
    colours = colours.astype(np.uint8)
    yield forms.interlaced(colours)
    yield forms.interlaced(stack[0])
    for kind in ("PNG", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(colours).quantize(16).save(stream, kind)
        yield stream.getvalue()
    yield forms.few_bits(stack[0], 12, white_is_zero=True)
    yield forms.few_bits(stack[0] >> 8, 4, white_is_zero=False)
    yield forms.hidden_behind(grey[::2, ::2], stack[0])
    yield forms.zeiss(stack[None], [("a", (0, 0, 255)), ("CTb", (255, 255, 0)), ("c", (9, 9, 9))])
    yield forms.metamorph(list(stack), b"um\0")
    yield _cmyk(colours)
    yield _tiff(grey, extratags=[(274, "H", 1, 6, False)])


def _cmyk(colours: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(colours).convert("CMYK").save(stream, "TIFF")
    return stream.getvalue()


def _microscope_files() -> Iterator[bytes]:
    """Small files of microscopes, as far as their writers are installed and examples lie beside the real images."""
    planes = np.random.default_rng(4).integers(0, 4096, (2, 48, 64), np.uint16)
    yield forms.lif(list(planes), ["Blue", "Green"])
    yield forms.olympus(planes[:, None], ["DAPI", "CTb"])
    if importlib.util.find_spec("pylibCZIrw"):
        yield forms.small_czi(planes)
        yield forms.small_czi(planes, "zstd1:ExplicitLevel=1")
    for path in sorted((DATA_DIR / "vendor").glob("*.nd2")):
        yield path.read_bytes()


def _tiff(samples: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    photometric = "rgb" if samples.ndim == 3 and samples.shape[2] == 3 else "minisblack"
    if options.get("imagej") and samples.dtype == np.uint16 and samples.ndim == 3:
        options.pop("imagej")  # ImageJ knows no colours of 16 bits
    tifffile.imwrite(stream, samples, photometric=photometric, **options)
    return stream.getvalue()


def _damaged(data: bytearray, chance: random.Random) -> bytes:
    """Some bits, bytes, cuts, repetitions, or a number that is far too large."""
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        # Headers are where decoders take decisions.
        end = len(data) if chance.random() < 0.5 else min(len(data), 400)
        place = chance.randrange(max(end, 1))
        kind = chance.randrange(7)
        if kind == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del data[place : place + chance.randrange(1, 64)]
        elif kind == 3:
            data[place:place] = chance.randbytes(chance.randrange(1, 64))
        elif kind == 4:
            data[place:place] = data[place : place + chance.randrange(1, 300)]
        elif kind == 5:
            large = chance.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(data)))
            data[place : place + 4] = large.to_bytes(4, chance.choice(("little", "big")))
        else:
            del data[max(place, 20) :]
        if not data:
            break
    return bytes(data)
