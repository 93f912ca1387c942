"""What a folder watch is asked to do."""

from dataclasses import dataclass
from pathlib import Path

from device.config import Settings
from device.counting.records import CountSettings
from device.errors import InputError, SettingsError
from device.watch.mounts import on_network

DEFAULT_SETTINGS = CountSettings()
DEFAULT_OUT = "fluocount"
"""Sub-folder of the watched folder that takes the outputs where nobody names another."""


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """One watched folder.

    Attributes:
        folder: absolute; what is counted.
        out_dir: absolute; where results are written.
        model: name or path.
        settings: for every count.
        recursive: sub-folders too.
        settle_s: a file is complete when it has not changed for this long.
        poll_interval_s: look at the folder this often; None takes the kernel's events.
        max_waiting: taken files that wait for their count; leaves place for the page.
        max_file_mb: larger files are refused.
        recount: count everything again, known images too.
    """

    folder: Path
    out_dir: Path
    model: str
    settings: CountSettings = DEFAULT_SETTINGS
    recursive: bool = False
    settle_s: float = 2.0
    poll_interval_s: float | None = None
    max_waiting: int = 100
    max_file_mb: int = 200
    recount: bool = False


def make_plan(
    settings: Settings,
    folder: Path,
    *,
    out_dir: Path | None = None,
    poll: bool = False,
    recursive: bool = False,
    settle_s: float | None = None,
    model: str | None = None,
    count_settings: CountSettings = DEFAULT_SETTINGS,
    recount: bool = False,
) -> WatchPlan:
    """Fill in what the settings say.

    Raises:
        InputError: `folder` is no folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; name the folder that the microscope writes its images to."
        )
    folder = folder.resolve()
    watch = settings.watch
    polled = poll or watch.poll or on_network(folder)
    return WatchPlan(
        folder=folder,
        out_dir=(out_dir or folder / DEFAULT_OUT).resolve(),
        model=model or settings.counting.model,
        settings=count_settings,
        recursive=recursive or watch.recursive,
        settle_s=settle_s or watch.settle_s,
        poll_interval_s=watch.poll_interval_s if polled else None,
        max_waiting=max(1, settings.storage.max_queue // 2),
        max_file_mb=settings.web.max_upload_mb,
        recount=recount,
    )


def plans_from_settings(settings: Settings) -> list[WatchPlan]:
    """The plans of `[watch]`; several folders share `out_dir` by sub-folders of their names.

    Raises:
        InputError: one of them is no folder.
        SettingsError: two would write into the same output folder.
    """
    folders = [Path(text).expanduser() for text in settings.watch.folders]
    plans = []
    for folder in folders:
        out_dir = None
        if settings.watch.out_dir is not None:
            out_dir = Path(settings.watch.out_dir).expanduser()
            out_dir = out_dir / folder.name if len(folders) > 1 else out_dir
        plans.append(make_plan(settings, folder, out_dir=out_dir))
    if len({plan.out_dir for plan in plans}) < len(plans):
        raise SettingsError(
            "Two of watch.folders would write into the same output folder; give them different "
            "names or leave watch.out_dir empty."
        )
    return plans
