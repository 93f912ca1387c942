"""Image files from outside are decoded in a process of their own, with limits of time and memory.

with open_image(path, name) as image:       # or bytes that are already here
    image.header()                          # sizes, before anything is decoded
    frame = image.frame()                   # its arrays lie in memory that the two processes share

A file that hangs, swells or crashes a decoder costs that process, which is replaced: this one goes on. The
decoders themselves are `device.imageio`; who trusts its files (the trainer) calls them directly.
"""

from device.sandbox.files import LIMIT_S, ImageFile, decode_frame, open_image, read_frame
from device.sandbox.pool import configure, peak_memory_mb, wait_until_ready

__all__ = [
    "LIMIT_S",
    "ImageFile",
    "configure",
    "decode_frame",
    "open_image",
    "peak_memory_mb",
    "read_frame",
    "wait_until_ready",
]
