"""The files of one counted image in a plain folder."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

from device.counting.blocks import is_large
from device.counting.records import Counted, Frame, to_json
from device.drawing.overlay import encode_jpeg, outline_pixels, outline_png, overlay_image
from device.export.ometiff import labels_ome_tiff
from device.export.tables import cells_csv
from device.imageio.filenames import output_name
from device.machine.files import write_beside


def write_image_files(out_dir: Path, name: str, frame: Frame, counted: Counted) -> None:
    """Write overlay, outlines, label image, cells and result beside each other.

    Args:
        out_dir: created if missing.
        name: relative name of the image; the files are called NAME.overlay.jpg and so on.
        frame: the original image.
        counted: its count.

    Raises:
        OSError: the folder cannot be written; files already in place are complete.
    """
    result, labels = counted.result, counted.labels
    edges = outline_pixels(labels)
    # This picture takes as long as all other files together, and its encoder lets this thread run meanwhile.
    with ThreadPoolExecutor(1) as pool:
        overlay = pool.submit(encode_jpeg, overlay_image(frame, result, labels, edges))
        contents = {
            "labels.tif": labels_ome_tiff(labels, result.pixel_size_um),
            "cells.csv": cells_csv(result).encode(),
        }
        if is_large(frame):  # its picture and its outlines need not be in memory at once
            overlay.result()
        contents |= {
            "outlines.png": outline_png(labels, edges),
            "overlay.jpg": overlay.result(),
            "result.json": to_json(result),
        }
    write_beside(out_dir / output_name(PurePath(name)), contents)


def result_file(out_dir: Path, name: str) -> Path:
    """Path of the result of the image with that relative name; it is written last."""
    target = out_dir / output_name(PurePath(name))
    return target.with_name(f"{target.name}.result.json")


def folder_writer(out_dir: Path) -> Callable[[str, Frame, Counted], None]:
    """`write_image_files` for one folder, in the form that device.batch.items uses."""

    def write(name: str, frame: Frame, counted: Counted) -> None:
        write_image_files(out_dir, name, frame, counted)

    return write
