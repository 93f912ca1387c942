"""Estimates memory and time of a count from the size of the image and the model, before anything is decoded.

The figures are estimated upper bounds: bytes per pixel of the arrays that exist at the same time in each stage,
measured with tests/test_estimate.py.
"""

import msgspec

from device.counting.blocks import CORE_PX, LARGE_FRAME_PX, MARGIN_DIAMETERS
from device.counting.card import ModelCard
from device.counting.records import CountSettings
from device.counting.scale import working_shape
from device.counting.settings import resolve
from device.counting.tiles import plan_for
from device.drawing.overlay import OVERLAY_PX
from device.errors import InputError
from device.imageio.header import Header
from device.models.staging import gmac_of, stage_tile_px

PROGRAM_MB = 145.0
"""Part of every estimate that is spent once: Python, the libraries, the model, and 45 MB in the decoding process."""
_LATER_LIBRARIES_BYTES = 60e6
"""Watershed and encoders, which are loaded after the network."""
_NETWORK_BYTES = 920.0
"""Activations and XNNPACK's indirection buffers per pixel of a tile, for all stages together."""
_BETWEEN_STAGES_BYTES = 60.0
"""Tensors between stages, per pixel of a tile."""
_LABELLING_BYTES = 50.0
"""Masks, labels and distances alive at the same time per pixel that is labelled at once, among many cells."""
_DRAWING_BYTES = 20
"""Labels, their outlines, the 8-bit picture and its encoder, per pixel."""
_RELATIVE_RATE = 0.4
"""The rate of networks as a fraction of the rate of a plain int8 matrix product."""
_AFTERWARDS_S_PER_PX = 6e-8
"""Everything but the network, at the rate of a desktop core."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Estimated memory and work of one image.

    Attributes:
        memory_mb: largest resident memory of the process, 1e6 bytes.
        gmac: multiply-accumulates of the network, overlap included, in 1e9.
        pixels: of the image.
    """

    memory_mb: float
    gmac: float
    pixels: int

    def seconds(self, int8_gmac_s: float) -> float:
        """Time from file to results, given the rate of a plain int8 matrix product on this machine."""
        return self.gmac / (_RELATIVE_RATE * int8_gmac_s) + _AFTERWARDS_S_PER_PX * self.pixels


def estimate(header: Header, card: ModelCard, settings: CountSettings) -> Estimate:
    """Estimate memory and work of one image.

    Raises:
        InputError: a setting outside its range.
    """
    chosen = resolve(without_unknown_size(settings), card)
    scale = chosen.scale
    height, width = working_shape(header.height, header.width, scale)
    plan = plan_for(height, width, card)
    pixels, working_px = header.height * header.width, height * width
    sample = header.channels * header.sample_bytes
    rescaled = 0 if scale == 1 and header.sample_bytes == 1 else 3 * working_px
    network = _network_bytes(plan.tile_shape[0] * plan.tile_shape[1], card)
    # Large frames are labelled in blocks, after the memory of the network is released.
    large = pixels > LARGE_FRAME_PX
    block_side = scale * (CORE_PX + 2 * MARGIN_DIAMETERS * chosen.cell_diameter_px)
    block_px = min(working_px, round(block_side**2)) if large else working_px
    label_bytes = 2 if large else 4
    overlay_bytes = 1 if pixels > OVERLAY_PX else 3
    kept = sample * pixels + rescaled + working_px
    afterwards = kept + _LATER_LIBRARIES_BYTES + (0 if large else network)
    stages = {
        "read": _reading_bytes(header),
        "network": kept + network,
        "label": afterwards + (label_bytes + 1) * pixels + _LABELLING_BYTES * block_px,
        "write": afterwards + (label_bytes + overlay_bytes + 2) * pixels,
    }
    standard = plan_for(*working_shape(1200, 1600, resolve(CountSettings(), card).scale), card)
    return Estimate(
        memory_mb=PROGRAM_MB + max(stages.values()) / 1e6,
        gmac=gmac_of(plan, standard, card),
        pixels=pixels,
    )


def reading_mb(header: Header) -> float:
    """Memory for a file and its frame, in both processes that hold them, in 1e6 bytes."""
    return _reading_bytes(header) / 1e6


def drawing_mb(header: Header) -> float:
    """The same while the frame is drawn with labels and encoded for a browser."""
    return (_reading_bytes(header) + _DRAWING_BYTES * header.height * header.width) / 1e6


def labelling_mb(header: Header) -> float:
    """What labelling a stored map anew takes, with the pictures of the new result."""
    pixels = header.height * header.width
    at_once = min(pixels, LARGE_FRAME_PX)
    return (_LABELLING_BYTES * at_once + _DRAWING_BYTES * pixels) / 1e6


def _reading_bytes(header: Header) -> int:
    sample = header.channels * header.sample_bytes
    # The file lies in the decoding process and, for those who hand in bytes, here; the samples are handed over whole.
    return 2 * header.file_bytes + header.decode_bytes + sample * header.height * header.width


def without_unknown_size(settings: CountSettings) -> CountSettings:
    """Without a diameter in micrometres where the pixel size is known only once the image is decoded."""
    assay = settings.assay
    if assay is None or assay.cell_diameter_um is None or assay.pixel_size_um is not None:
        return settings
    if settings.objective is not None:
        return settings
    return msgspec.structs.replace(
        settings, assay=msgspec.structs.replace(assay, cell_diameter_um=None)
    )


def _network_bytes(tile_px: int, card: ModelCard) -> float:
    if not card.tiling.stages:
        return _NETWORK_BYTES * tile_px
    held_px = max(
        min(tile_px / stage.step_px**2, stage_tile_px(stage)) for stage in card.tiling.stages
    )
    return _NETWORK_BYTES * held_px + _BETWEEN_STAGES_BYTES * tile_px


def require_memory(
    header: Header, card: ModelCard, settings: CountSettings, max_memory_mb: float, name: str
) -> Estimate:
    """The estimate, if it is within the limit.

    Raises:
        InputError: it needs more than `max_memory_mb`; the sentence gives the estimate.
    """
    needed = estimate(header, card, settings)
    if needed.memory_mb > max_memory_mb:
        raise InputError(
            f"{name} has {header.width}x{header.height} pixels and needs about {needed.memory_mb:.0f} MB "
            f"with the model {card.name}; {max_memory_mb:.0f} MB are allowed: crop or reduce the image, use "
            "another model, or raise the memory limit in the settings."
        )
    return needed
