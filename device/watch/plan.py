"""The task of a folder watch."""

from dataclasses import dataclass, replace
from pathlib import Path

from device.config import Settings
from device.counting.records import CountSettings
from device.errors import SettingsError
from device.jobs.intake import CountOptions
from device.store import Store

_CARDS_SETTINGS = CountSettings()
_NAMED = {"assay": "assays", "objective": "objectives", "study": "studies"}
"""What a folder may have of its own, and the setting that says it."""
DEFAULT_OUT = "fluocount"
"""Default sub-folder of the watched folder for results."""


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """One watched folder.

    Attributes:
        folder: absolute; what is counted.
        out_dir: absolute; where results are written.
        model: name or path; None: the assay's.
        settings: for every count.
        assay: name of a stored assay, in its newest version; None for the default.
        objective: name of one in the list, as it is at every image; None: as the file or the assay says.
        study: name of the study that the images belong to; its pattern splits their names.
        recursive: include sub-folders.
        settle_s: a file is complete when it has not changed for this long.
        poll: read the folder regularly even if the kernel reports events.
        poll_interval_s: time between two readings.
        max_waiting: accepted files that may wait for their count; leaves space in the queue for the page.
        max_file_mb: larger files are refused.
        recount: count images again even if they were counted before.
        retry_failed: try images again that could not be counted before.
        retry_s: pause after a problem (full disk, missing share) before the next attempt.
    """

    folder: Path
    out_dir: Path
    model: str | None
    settings: CountSettings = _CARDS_SETTINGS
    assay: str | None = None
    objective: str | None = None
    study: str | None = None
    recursive: bool = False
    settle_s: float = 2.0
    poll: bool = False
    poll_interval_s: float = 5.0
    max_waiting: int = 100
    max_file_mb: int = 200
    recount: bool = False
    retry_failed: bool = False
    retry_s: float = 5.0

    def options(self, once_key: str | None = None) -> CountOptions:
        """What every image of the folder is accepted with."""
        return CountOptions(
            model=self.model,
            settings=self.settings,
            assay=self.assay,
            objective=self.objective,
            once_key=once_key,
        )


def make_plan(settings: Settings, folder: Path, out_dir: Path | None = None) -> WatchPlan:
    """The plan from the settings; model and reading are those of the assay.

    The folder may be missing, such as a share that is not mounted yet.
    """
    folder = folder.resolve()
    watch = settings.watch
    return WatchPlan(
        folder=folder,
        out_dir=(out_dir or folder / DEFAULT_OUT).resolve(),
        model=None,
        recursive=watch.recursive,
        settle_s=watch.settle_s,
        poll=watch.poll,
        poll_interval_s=watch.poll_interval_s,
        max_waiting=max(1, settings.storage.max_queue // 2),
        max_file_mb=settings.web.max_upload_mb,
    )


def plans_from_settings(settings: Settings) -> list[WatchPlan]:
    """The plans of `[watch]`; several folders share `out_dir` by sub-folders of their names.

    Raises:
        SettingsError: two would write to the same output folder, or an assay, an objective or a study is set for a
            folder that is not watched.
    """
    folders = [Path(text).expanduser() for text in settings.watch.folders]
    named = {what: _by_folder(getattr(settings.watch, table)) for what, table in _NAMED.items()}
    plans = []
    for folder in folders:
        out_dir = None
        if settings.watch.out_dir is not None:
            out_dir = Path(settings.watch.out_dir).expanduser()
            out_dir = out_dir / folder.name if len(folders) > 1 else out_dir
        plan = make_plan(settings, folder, out_dir)
        own = {what: names.pop(folder.resolve(), None) for what, names in named.items()}
        plans.append(
            replace(plan, assay=own["assay"], objective=own["objective"], study=own["study"])
        )
    for what, left in named.items():
        if left:
            article = "A" if what == "study" else "An"
            raise SettingsError(
                f"{article} {what} is set for {next(iter(left))}, which is not watched: write the folder as it stands "
                "under `folders`."
            )
    if len({plan.out_dir for plan in plans}) < len(plans):
        raise SettingsError(
            "Two watched folders would write to the same output folder; give them different "
            "names, or set no common output folder."
        )
    return plans


def with_study(store: Store, plan: WatchPlan) -> WatchPlan:
    """The plan with the assay of its study, unless the folder has one of its own.

    Raises:
        NotFoundError: there is no such study.
    """
    if plan.study is None:
        return plan
    study = store.studies.get(plan.study)
    return replace(plan, assay=plan.assay or study.assay or None)


def _by_folder(named: dict[str, str]) -> dict[Path, str]:
    return {Path(text).expanduser().resolve(): name for text, name in named.items()}
