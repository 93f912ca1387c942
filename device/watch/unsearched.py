"""Sub-folders that the watch was not asked to search: those with images are named once."""

import math
from pathlib import Path

from device.imageio.filenames import holds_images

_AGAIN_S = 60.0
"""Images may come deep into a sub-folder, which changes nothing in the sub-folder itself: only looking tells."""


class Unsearched:
    """Remembers which sub-folders were named, and when to look into the others again."""

    def __init__(self) -> None:
        self._look_at_s: dict[Path, float] = {}

    def finds_images(self, folder: Path, now_s: float) -> bool:
        """Whether images were found in a sub-folder for the first time; it is looked into once a minute."""
        if now_s < self._look_at_s.get(folder, now_s):
            return False
        self._look_at_s[folder] = now_s + _AGAIN_S
        try:
            found = holds_images(folder)
        except OSError:
            return False  # nothing of it is counted
        if found:
            self._look_at_s[folder] = math.inf
        return found
