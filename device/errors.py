"""The errors that fluocount raises. Each message says what was expected, what came and what to do."""


class FluocountError(Exception):
    """Base of all errors below; its text is one sentence that a technician can act on."""


class InputError(FluocountError):
    """A file, a parameter or a request that cannot be used as it is (HTTP 4xx)."""


class ModelError(FluocountError):
    """A model or its card is missing, damaged or inconsistent."""


class SettingsError(FluocountError):
    """The settings file or an option holds a value that cannot be used."""


class CameraError(FluocountError):
    """The camera is missing, busy, lost or did not obey."""


class CameraMissingError(CameraError):
    """No camera is connected or configured (HTTP 503)."""


class CameraBusyError(CameraError):
    """Another program holds the camera, or a capture is already running (HTTP 409)."""


class CameraLostError(CameraError):
    """The camera stopped delivering pictures; it is being reopened (HTTP 503)."""


class PinsError(FluocountError):
    """The pins of button, status LED or excitation light cannot be used."""


class StorageError(FluocountError):
    """Results cannot be kept: the disk is full or the store is damaged."""


class DamagedError(StorageError):
    """A file that the store keeps is damaged or gone; the others are as they were (HTTP 409)."""


class UnavailableError(StorageError):
    """The store cannot be used at this moment; the same call may succeed later (HTTP 503)."""


class QueueFullError(FluocountError):
    """The job queue is at its limit; nothing was accepted (HTTP 503)."""


class BusyError(FluocountError):
    """Memory or processes are taken by others for longer than a request can wait (HTTP 503)."""


class ForbiddenError(FluocountError):
    """Whoever asks may not do this."""


class NotFoundError(FluocountError):
    """No such count, image or token (HTTP 404)."""


class ConflictError(FluocountError):
    """The request does not fit the present state of the count or device (HTTP 409)."""
