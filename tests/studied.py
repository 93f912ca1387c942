"""Studies made by hand for tests: images with a known number of cells, counted by the fake model."""

from pathlib import Path

import numpy as np
from appliance import make_service, png, wait_for

from device.jobs.intake import CountOptions
from device.service import Service
from device.store import CountRow, Filter
from device.store.studies import Place, Study


def counted(
    service: Service, cells: int, shade: int, name: str = "image.png", **options
) -> CountRow:
    """An image with so many cells, counted by a started service."""
    intake = service.require_accepting().intake
    row = intake.accept(png(cells, shade=shade), name, "upload", CountOptions(**options))
    return wait_for(lambda: finished(service, row.id), what="the count")


def finished(service: Service, count_id: str) -> CountRow | None:
    row = service.require_store().counts.get(count_id)
    return row if row.status in ("done", "failed") else None


def write_folder(folder: Path, cells: dict[str, int]) -> Path:
    """Images of that many cells; their shades differ, so that no two are the same picture."""
    for number, (name, count) in enumerate(cells.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(count, shade=255 - number % 60, shape=(240, 400 + number // 60)))
    return folder


def make_study(service: Service, cells: dict[tuple[str, str, str], int], **changes) -> Study:
    """A counted study with so many cells by (group, subject, slice)."""
    store = service.require_store()
    study = store.studies.save(Study(**{"name": "torpor", **changes}))
    for number, ((group, subject, part), count) in enumerate(cells.items()):
        name = f"{group}_{subject}_s{part}.png"
        row = counted(service, count, 255 - number, name=name)
        place = Place(group=group, subject=subject, slice=part)
        store.studies.assign(study.name, {row.id: place})
    return study


def started(data_dir: Path) -> Service:
    service = make_service(data_dir)
    service.start()
    return service


def all_done(service: Service) -> bool:
    return not service.require_store().counts.number(Filter(status="queued")) and not (
        service.require_store().counts.number(Filter(status="running"))
    )


def balanced(
    difference: int = 3, subjects: int = 4, slices: int = 2
) -> dict[tuple[str, str, str], int]:
    """Two groups; the second has `difference` cells more per slice."""
    generator = np.random.default_rng(3)
    return {
        (group, f"{group[0]}{subject}", str(part)): int(3 + extra + generator.integers(0, 3))
        for group, extra in (("sham", 0), ("torpor", difference))
        for subject in range(subjects)
        for part in range(slices)
    }
