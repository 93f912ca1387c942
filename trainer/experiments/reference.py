"""What a user would otherwise do: Keras in float32 on the whole frame, the paper's post-processing with scikit-image.

`python -m trainer.experiments.reference WEIGHTS.keras` serves the benchmark (device.bench.protocol). Written plainly
after section 4.3 of the paper, every step on the whole frame; without any code of device.counting.
"""

import csv
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import feature, filters, io, measure, morphology, segmentation

from device.bench.protocol import Hello, Job, Timing, answer_jobs, own_stdout, peak_memory_mb
from device.machine.clock import Stopwatch
from trainer.fitting.runs import DEFAULT_POSTPROCESSING, FRAME_CELL_DIAMETER_PX

STRIDE_PX = 8
THRESHOLD = 0.5


def probability_map(model: Any, image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 to (h, w) float32 probabilities in one pass; the frame is extended to the stride."""
    height, width = image.shape[:2]
    padding = ((0, -height % STRIDE_PX), (0, -width % STRIDE_PX), (0, 0))
    extended = np.pad(image, padding, mode="symmetric").astype(np.float32) / 255
    return model.predict(extended[None], verbose=0)[0, :height, :width, 0]


def label_cells(probability: np.ndarray) -> np.ndarray:
    """Threshold, fill holes, remove small objects, watershed on the distance to the border: (h, w) int32."""
    settings, diameter = DEFAULT_POSTPROCESSING, FRAME_CELL_DIAMETER_PX
    disc = np.pi * diameter**2 / 4
    mask = probability > THRESHOLD
    mask = morphology.remove_small_holes(mask, max_size=round(settings.max_hole_ratio * disc))
    mask = morphology.remove_small_objects(mask, max_size=round(settings.min_area_ratio * disc))
    distance = filters.gaussian(
        ndimage.distance_transform_edt(mask), settings.smoothing_ratio * diameter
    )
    seeds = feature.peak_local_max(
        distance,
        min_distance=round(settings.peak_distance_ratio * diameter),
        labels=measure.label(mask),
        exclude_border=False,
    )
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    return segmentation.watershed(-distance, markers, mask=mask)


def write_results(image: np.ndarray, labels: np.ndarray, cells: list[Any], target: Path) -> None:
    """The overlay as a full-frame PNG and a line per cell."""
    target.parent.mkdir(parents=True, exist_ok=True)
    overlay = segmentation.mark_boundaries(image, labels, color=(0, 1, 0.67))
    io.imsave(target.with_suffix(".overlay.png"), (255 * overlay).astype(np.uint8))
    with target.with_suffix(".cells.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["id", "y", "x", "area", "diameter", "red", "green", "blue"])
        for cell in cells:
            table.writerow(
                [
                    cell.label,
                    *cell.centroid,
                    cell.area,
                    cell.equivalent_diameter_area,
                    *cell.mean_intensity,
                ]
            )


def count(model: Any, job: Job) -> Timing:
    """One frame, file to results."""
    watch, begin_s = Stopwatch(), time.process_time()
    with watch.stage("read"):
        image = io.imread(job.image)
        image = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image[..., :3]
    with watch.stage("network"):
        probability = probability_map(model, image)
    with watch.stage("label"):
        labels = label_cells(probability)
    with watch.stage("measure"):
        cells = measure.regionprops(labels, intensity_image=image)
        means = [cell.mean_intensity for cell in cells]
    with watch.stage("write"):
        write_results(image, labels, cells, Path(job.out) / Path(job.image).name)
    return Timing(
        seconds=watch.seconds(),
        cpu_s=time.process_time() - begin_s,
        count=len(means),
        peak_mb=peak_memory_mb(),
    )


def main(weights: Path) -> None:
    """Serve jobs on standard input."""
    conversation = own_stdout()
    import keras

    model = keras.models.load_model(weights, compile=False)
    answer_jobs(conversation, Hello(name="reference"), lambda job: count(model, job))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
