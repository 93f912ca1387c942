"""What a run into a folder was asked to do, in run.json there: who joins folders must know that they fit together."""

from pathlib import Path

import msgspec

from device import __version__
from device.batch.spool import Shard, Spool
from device.counting.card import ModelRef
from device.counting.records import CountSettings
from device.errors import InputError
from device.machine.files import display_name, write_atomic

RUN_NAME = "run.json"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        asked: what was named as the model, `auto` or its name.
        model: that counts; of `auto` the one for any stain.
        settings: for all images.
        software: version of fluocount.
        shard: (number, of), None for all images.
        images: that were found, in this shard.
        all_images: in all shards together.
        fingerprint: of the names of all images.
        finished: every image has a line in counts.csv or errors.csv.
    """

    asked: str
    model: ModelRef
    settings: CountSettings
    software: str = __version__
    shard: tuple[int, int] | None = None
    images: int = 0
    all_images: int = 0
    fingerprint: str = ""
    finished: bool = False

    def covers(self, spool: Spool, shard: Shard | None) -> "Run":
        """The same run over what a search has found."""
        return msgspec.structs.replace(
            self,
            shard=None if shard is None else (shard.number, shard.of),
            images=spool.images,
            all_images=spool.all_images,
            fingerprint=spool.fingerprint,
        )


def write_run(out_dir: Path, run: Run, *, finished: bool) -> None:
    """Keep it beside the tables; unfinished before the first image, finished after the last.

    Raises:
        OSError: the folder cannot be written.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.encode(msgspec.structs.replace(run, finished=finished))
    write_atomic(out_dir / RUN_NAME, msgspec.json.format(data))


def read_run(out_dir: Path) -> Run:
    """The run that wrote the tables of a folder.

    Raises:
        InputError: there is none, or it is not finished.
    """
    shown = display_name(str(out_dir))
    try:
        run = msgspec.json.decode((out_dir / RUN_NAME).read_bytes(), type=Run)
    except FileNotFoundError:
        raise InputError(
            f"{shown} holds no {RUN_NAME}; name the --out folders of `fluocount count`. For one of an older version "
            "run the same count again with --resume."
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{shown}: {RUN_NAME} cannot be read ({error}); run the same count again with --resume."
        ) from None
    if not run.finished:
        raise InputError(f"The count into {shown} is not finished; run it again with --resume.")
    return run
