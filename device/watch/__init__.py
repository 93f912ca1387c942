"""Counting what appears in a folder: `fluocount watch` and the `[watch]` settings of the service.

    watch = FolderWatch(store, intake, make_plan(settings, folder), model_sha256)
    watch.start()            # or run(once=True)

A file goes through four hands: `events` notices it, `settling` waits until it is complete, `taking`
hands its bytes to the store, where the one worker counts it, and `delivery` writes the files and the
line of the output folder. `ledger` remembers what was taken; which lines exist the tables say themselves.
"""

from device.watch.folder import FolderWatch, WatchState
from device.watch.plan import WatchPlan, make_plan, plans_from_settings

__all__ = ["FolderWatch", "WatchPlan", "WatchState", "make_plan", "plans_from_settings"]
