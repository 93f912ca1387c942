"""Counts the images that appear in a folder: `fluocount watch` and the `[watch]` settings of the service.

    watch = FolderWatch(store, intake, make_plan(settings, folder))
    watch.start()            # or run(once=True)

A file passes four modules: `events` notices it, `settling` waits until it is complete, `taking` gives
its bytes to the store, where the one worker counts it, and `delivery` writes files and table line to the
output folder. `ledger` records which files were read; the tables themselves tell which lines exist.
"""

from device.watch.folder import FolderWatch, WatchState
from device.watch.plan import WatchPlan, make_plan, plans_from_settings

__all__ = ["FolderWatch", "WatchPlan", "WatchState", "make_plan", "plans_from_settings"]
