"""Errors that reach the user: each message is one sentence naming what was wrong, the value seen and the way out."""


class LatentSyncError(Exception):
    """Base of every error that the engine raises on purpose; the command line turns it into exit code 2."""


class OptionError(LatentSyncError):
    """An option lies outside its range, or two options contradict each other."""


class VideoError(LatentSyncError):
    """A clip can't be read: missing, without frames, cut short, or in a format that isn't supported."""


class ClipChangedError(VideoError):
    """The clip's file is not the one that an earlier stage looked at."""


class AudioError(LatentSyncError):
    """A sound can't be used: missing, empty, not finite, or not a sound."""


class FaceError(LatentSyncError):
    """No face that could be synced was found."""


class ModelError(LatentSyncError):
    """Weights are missing, unknown, of the wrong shape, or not what their name says."""


class OutputError(LatentSyncError):
    """The result can't be written: no such folder, no room, or a container that can't hold it."""


class DownloadError(LatentSyncError):
    """A URL can't be fetched: refused for safety, not a media file, too large, too slow, or cut off."""


class UnavailableError(DownloadError):
    """The server can't be reached, or doesn't hand out the file at present; a copy kept earlier may stand in."""


class ToolError(LatentSyncError):
    """A program or library that the engine needs is missing or too old."""
