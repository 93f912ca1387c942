"""From the network's map to the result of a count."""

from dataclasses import replace

import numpy as np

from device import __version__
from device.counting.blocks import examine_blocks
from device.counting.card import ModelCard
from device.counting.confidence.flags import file_flags, frame_flags, is_usual, model_flags
from device.counting.confidence.probabilities import count_interval
from device.counting.confidence.statistics import frame_statistics, with_cells
from device.counting.records import Counted, CountResult, Frame, ProbabilityMap, Taken
from device.counting.resolved import Resolved
from device.counting.stages import Stage


def judged(
    frame: Frame,
    image: np.ndarray,
    probability: ProbabilityMap,
    card: ModelCard,
    chosen: Resolved,
    stage: Stage,
) -> Counted:
    """Find and judge the objects in the network's map, and say what is known of the frame.

    Args:
        frame: the capture.
        image: (h, w, 3) uint8, the frame at the working scale.
        probability: (h, w) uint8 codes at the working scale.
        card: of the model that made the map.
        chosen: the settings of this count.
        stage: opened around each stage.
    """
    with stage("measure"):
        seen = frame_statistics(frame, image, card.cell_diameter_px)
        usual = is_usual(seen, card.confidence.normal_frame)
    examined = examine_blocks(frame, image, probability, card, replace(chosen, usual=usual), stage)
    with stage("measure"):
        seen = with_cells(seen, frame, examined.cells, chosen.cell_diameter_px)
        count = len(examined.cells)
        interval = count_interval(examined.chances, card.confidence.frame_sd, count)
    result = CountResult(
        image=frame.source,
        image_sha256=frame.sha256,
        count=count,
        cells=examined.cells,
        doubtful=examined.doubtful,
        interval=interval,
        flags=(
            *model_flags(card),
            *file_flags(frame.taken),
            *frame_flags(seen, card.confidence.normal_frame),
        ),
        model=card.ref,
        threshold=chosen.threshold,
        cell_diameter_px=chosen.cell_diameter_px,
        min_area_px=chosen.min_area_px,
        exclude_border=chosen.exclude_border,
        width=frame.width,
        height=frame.height,
        bits=frame.bits,
        channels=frame.channels,
        pixel_size_um=frame.pixel_size_um,
        taken=frame.taken or Taken(full_scale=frame.full_scale),
        software=__version__,
    )
    return Counted(result=result, probability=probability, labels=examined.labels)
