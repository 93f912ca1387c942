"""The settings: one frozen value, read from a TOML file. Every field is documented in docs/settings.md (a test)."""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from device.counting.reading import AS_THE_FILE_SAYS, Reading
from device.errors import SettingsError

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Pin = Annotated[int, msgspec.Meta(ge=0, le=27)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file; unknown keys are errors, so that a typo is never silent."""


class CountingSettings(_Section, frozen=True):
    """`[counting]`: which model counts, and how much it may use."""

    model: str = "auto"
    threads: PositiveInt = 4
    max_memory_mb: PositiveInt = 1500


def _default_data_dir() -> str:
    """StateDirectory= of systemd, if set: damaged settings must not hide the results."""
    return os.environ.get("STATE_DIRECTORY", "~/.local/share/fluocount")


class StorageSettings(_Section, frozen=True):
    """`[storage]`: where results are stored and when the disk counts as full."""

    data_dir: str = msgspec.field(default_factory=_default_data_dir)
    database: str | None = None
    warn_free_mb: PositiveInt = 2000
    refuse_free_mb: PositiveInt = 500
    max_queue: PositiveInt = 200
    waiting_per_person: Annotated[int, msgspec.Meta(ge=0)] = 0
    gb_per_person: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    keep_days: PositiveInt | None = None


class CameraSettings(_Section, frozen=True):
    """`[camera]`: which camera and its settings at the start."""

    kind: Annotated[str, msgspec.Meta(pattern="^(auto|pi|simulated|none)$")] = "auto"
    width_px: PositiveInt = 1600
    height_px: PositiveInt = 1200
    exposure_s: Positive = 0.1
    gain: Positive = 1.0
    red_gain: Positive = 1.0
    blue_gain: Positive = 1.0
    average_frames: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    pixel_size_um: Positive | None = None
    preview_period_s: Positive = 0.2
    lit_preview_period_s: Positive = 1.0
    viewer_timeout_s: Positive = 5.0
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1


class ButtonSettings(_Section, frozen=True):
    """`[button]`: BCM pin numbers; None means not connected."""

    enabled: bool = False
    button_pin: Pin | None = 17
    led_pin: Pin | None = 27
    excitation_pin: Pin | None = None
    excitation_active_high: bool = True
    excitation_settle_s: Annotated[float, msgspec.Meta(ge=0)] = 0.02
    bounce_s: Positive = 0.05
    hold_s: Positive = 5.0
    shutdown_on_hold: bool = False
    assay: str | None = None
    objective: str | None = None


class WebSettings(_Section, frozen=True):
    """`[web]`: where the page listens and what it accepts."""

    host: str = "127.0.0.1"
    port: Port = 8080
    threads: PositiveInt = 8
    max_upload_mb: PositiveInt = 200
    session_hours: Positive = 12.0
    behind_proxy: bool = False
    path: Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$")] = ""

    @property
    def is_loopback(self) -> bool:
        """True for addresses and names that only this machine reaches."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class WatchSettings(_Section, frozen=True):
    """`[watch]`: folders that the service watches."""

    folders: tuple[str, ...] = ()
    assays: dict[str, str] = {}
    objectives: dict[str, str] = {}
    studies: dict[str, str] = {}
    out_dir: str | None = None
    recursive: bool = False
    settle_s: Positive = 2.0
    poll: bool = False
    poll_interval_s: Positive = 5.0


class ForwardSettings(_Section, frozen=True):
    """`[forward]`: the central fluocount that gets every finished result."""

    url: Annotated[str, msgspec.Meta(pattern="^https?://[^?#]+$")] | None = None
    token: str | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)] | None = None
    images: bool = False
    ca_file: str | None = None


class ServerSettings(_Section, frozen=True):
    """`[server]`: what a computer with many cores does otherwise than a Pi."""

    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    metrics: bool = False
    json_log: bool = False


class Settings(_Section, frozen=True):
    """All settings. The defaults count simulated or uploaded frames on any computer."""

    counting: CountingSettings = CountingSettings()
    storage: StorageSettings = msgspec.field(default_factory=StorageSettings)
    reading: Reading = AS_THE_FILE_SAYS
    camera: CameraSettings = CameraSettings()
    button: ButtonSettings = ButtonSettings()
    web: WebSettings = WebSettings()
    watch: WatchSettings = WatchSettings()
    forward: ForwardSettings = ForwardSettings()
    server: ServerSettings = ServerSettings()

    @property
    def data_dir(self) -> Path:
        """The data folder with ~ expanded."""
        return Path(self.storage.data_dir).expanduser()


def default_settings_path() -> Path | None:
    """The default settings file: $FLUOCOUNT_CONFIG, else /etc/fluocount/fluocount.toml if it exists."""
    named = os.environ.get("FLUOCOUNT_CONFIG")
    if named:
        return Path(named)
    system = Path("/etc/fluocount/fluocount.toml")
    return system if system.is_file() else None


def load_settings(path: Path | None) -> Settings:
    """Read a TOML file; None gives the defaults.

    Raises:
        SettingsError: file missing, not TOML, unknown key or value out of range.
    """
    if path is None:
        return Settings()
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), type=Settings)
    except OSError as error:
        raise SettingsError(
            f"The settings file {path} cannot be read ({error.strerror}); check the file name."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(
            f"The settings file {path} cannot be used: {str(error).rstrip('.')}. See docs/settings.md."
        ) from None
