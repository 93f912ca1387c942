"""From which size on a frame is treated otherwise: examined in blocks, shown at half the size."""

LARGE_FRAME_PX = 8_000_000
"""Frames of more pixels are examined in blocks."""
CORE_PX = 1200
"""Edge of a block's core in pixels of the original image."""
MARGIN_DIAMETERS = 8
"""What a block sees around its core, in cell diameters; a larger clump may be cut."""
BLOCK_PX = (CORE_PX + 2 * MARGIN_DIAMETERS * 37) ** 2
"""Pixels of a block where cells are of ordinary size, for estimates."""
OVERLAY_PX = 24_000_000
"""Of larger frames the overlay shows two by two pixels as one: an image of 64 million takes a browser down."""
