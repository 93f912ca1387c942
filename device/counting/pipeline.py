"""The story of a count, from a frame to its result. Every score that is published comes from these functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import msgspec
import numpy as np

from device import __version__
from device.counting.assay import adapt_card
from device.counting.blocks import Owns, find_in_blocks, is_large, owns_all
from device.counting.card import ModelCard, NormalFrame
from device.counting.choice import choose
from device.counting.confidence.features import measure_doubt, measure_with_doubt
from device.counting.confidence.flags import (
    doubt_flags,
    file_flags,
    frame_flags,
    model_flags,
    size_flags,
)
from device.counting.confidence.probabilities import frame_interval
from device.counting.confidence.promise import limit_promise
from device.counting.confidence.statistics import count_statistics, frame_statistics
from device.counting.diameter import Diameter
from device.counting.judge import judge
from device.counting.labelling.objects import Objects, find_objects
from device.counting.measure import Found, measure_cells
from device.counting.readings import settle, size_up
from device.counting.records import (
    Counted,
    CountResult,
    CountSettings,
    Frame,
    ProbabilityMap,
    Taken,
    with_pixel_size,
)
from device.counting.segmented import Segmented
from device.counting.segmenter import Releasable, Segmenter
from device.counting.settings import ResolvedSettings, resolve, set_diameter_px
from device.counting.tiles import Progress, plan_for, segment
from device.counting.view import network_view

Stage = Callable[[str], AbstractContextManager[object]]
"""Opens a context around a stage (network, label, measure): a caller with a clock measures, this package has none."""


def no_stage(name: str) -> AbstractContextManager[object]:
    """Measure nothing."""
    return nullcontext()


def count_frame(
    frame: Frame,
    segmenter: Segmenter,
    settings: CountSettings,
    *,
    progress: Progress | None = None,
    stage: Stage = no_stage,
) -> Counted:
    """Count the cells of a frame.

    Args:
        frame: the capture.
        segmenter: the network with its card.
        settings: what a person chose.
        progress: told after each tile.
        stage: opened around each stage.

    Raises:
        InputError: a setting outside its range.
    """
    frame = with_pixel_size(frame, settings)
    said_px = set_diameter_px(settings, frame.pixel_size_um)
    with stage("network"):
        size = size_up(frame, said_px, segmenter.card)
        likely = said_px or (size.estimated and size.estimated.px)
        choice = choose(segmenter, frame, likely or segmenter.card.frame_cell_diameter_px)
    network = choice.segmenter
    card = adapt_card(network.card, settings.assay)

    def count_at(diameter: Diameter | None) -> Counted:
        wanted = settings
        if diameter is not None and said_px is not None:  # a second opinion
            wanted = msgspec.structs.replace(settings, cell_diameter_px=diameter.px)
        chosen = resolve(wanted, card, frame.pixel_size_um, diameter)
        return count_map(_look(frame, network, card, chosen, (progress, stage)), stage)

    counted = settle(frame, said_px, card, size, count_at)
    result = msgspec.structs.replace(counted.result, model_reason=choice.reason)
    return replace(counted, result=result)


def _look(
    frame: Frame,
    segmenter: Segmenter,
    card: ModelCard,
    settings: ResolvedSettings,
    watching: tuple[Progress | None, Stage],
) -> Segmented:
    """Show the frame to the network; `card` is adapted to the assay, `watching` as of `count_frame`."""
    progress, stage = watching
    with stage("network"):
        image = network_view(frame, settings.scale, card.view)
        plan = plan_for(image.shape[0], image.shape[1], card)
        probability = segment(image, segmenter, plan, progress)
        if is_large(frame) and isinstance(segmenter, Releasable):
            segmenter.release()
    with stage("measure"):
        statistics = frame_statistics(frame, image, card.cell_diameter_px)
        doubt = measure_doubt(probability)
    return Segmented(frame, image, probability, card, settings, statistics, doubt)


def relabel(
    frame: Frame, probability: ProbabilityMap, card: ModelCard, settings: CountSettings
) -> Counted:
    """Count again from a probability map, without the network.

    Args:
        frame: the capture the map belongs to.
        probability: (h, w) uint8 codes at the working scale.
        card: of the model that made the map.
        settings: what a person chose; the cell diameter must be the one the map was made with.

    Raises:
        InputError: a setting outside its range.
    """
    return count_map(see_again(frame, probability, card, settings))


def see_again(
    frame: Frame, probability: ProbabilityMap, card: ModelCard, settings: CountSettings
) -> Segmented:
    """What the steps after the network need, from a map that was made before; arguments as of `relabel`."""
    frame = with_pixel_size(frame, settings)
    card = adapt_card(card, settings.assay)
    chosen = resolve(settings, card, frame.pixel_size_um)
    image = network_view(frame, chosen.scale, card.view)
    statistics = frame_statistics(frame, image, card.cell_diameter_px)
    doubt = measure_doubt(probability)
    return Segmented(frame, image, probability, card, chosen, statistics, doubt)


def count_map(seen: Segmented, stage: Stage = no_stage) -> Counted:
    """Count the cells in a network's map: label, measure the objects' features, judge, measure the cells."""

    def find(block: Segmented, owns: Owns) -> Found:
        with stage("label"):
            objects = find_objects(block)
        with stage("measure"):
            features = measure_for_calibration(block, objects)
            judged = judge(
                features, objects.plausible, block.card.confidence, block.least_probability
            )
            owned = owns(objects.working)
            return measure_cells(block.frame, objects.select(owned), judged.select(owned))

    found = find_in_blocks(seen, find) if is_large(seen.frame) else find(seen, owns_all)
    with stage("measure"):
        return Counted(_result(seen, found), seen.probability, found.labels)


def measure_for_calibration(seen: Segmented, objects: Objects) -> np.ndarray:
    """What the calibration looks at, (n, 7), of the objects of a frame or a block of it."""
    return measure_with_doubt(
        seen.image, seen.probability, objects.working, seen.card.cell_diameter_px, seen.doubt
    )


def _result(seen: Segmented, found: Found) -> CountResult:
    """The count with its interval, its flags and everything that it depends on."""
    frame, settings, confidence = seen.frame, seen.settings, seen.card.confidence
    count = len(found.cells)
    statistics = count_statistics(seen.statistics, found.cells, frame, settings.cell_diameter_px)
    flags = (
        *model_flags(seen.card),
        *doubt_flags(seen.doubt, confidence),
        *file_flags(frame.taken, seen.card.view),
        *size_flags(settings.objective, settings.assay, frame),
        *frame_flags(statistics, usual_frame(seen)),
    )
    interval = frame_interval(found.judged.probabilities, count, seen.doubt, confidence)
    return CountResult(
        image=frame.source,
        image_sha256=frame.sha256,
        count=count,
        cells=found.cells,
        doubtful=found.doubtful,
        interval=limit_promise(interval, flags),
        flags=flags,
        model=seen.card.ref,
        threshold=settings.threshold,
        cell_diameter_px=settings.cell_diameter_px,
        cell_diameter_from=settings.cell_diameter_from,
        cell_diameter_range_px=settings.cell_diameter_range_px,
        min_area_px=settings.min_area_px,
        exclude_border=settings.exclude_border,
        width=frame.width,
        height=frame.height,
        bits=frame.bits,
        channels=frame.channels,
        pixel_size_um=frame.pixel_size_um,
        taken=frame.taken or Taken(full_scale=frame.full_scale),
        software=__version__,
        assay=settings.assay,
        objective=settings.objective,
    )


def usual_frame(seen: Segmented) -> NormalFrame:
    """What is usual for the assay, else for the model; only the model's own ranges say where its calibration holds."""
    assay = seen.settings.assay
    own = seen.card.confidence.normal_frame
    return own if assay is None or assay.usual is None else assay.usual
