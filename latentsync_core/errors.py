"""Errors that reach the user: each states what was wrong, the value seen and the way out."""

from __future__ import annotations

from .messages import Remedy, Words, add_ways_out


class LatentSyncError(Exception):
    """Base of every error that the engine raises on purpose; the command line turns it into exit code 2.

    Its text is one sentence: the fact, and ways out that read alike everywhere. `worded` adds those that don't.

    Args:
        fact: what was wrong, and the value seen.
        ways_out: each a text that fits everywhere, or a remedy that command line and nodes put in their own words.
        about: what remedies refer to, such as a model's name.
    """

    def __init__(self, fact: str = "", *ways_out: Remedy | str, about: str = "") -> None:
        super().__init__(add_ways_out(fact, (way for way in ways_out if isinstance(way, str))))
        self.fact, self.ways_out, self.about = fact, ways_out, about

    def worded(self, words: Words) -> str:
        """The whole sentence in one place's words."""
        ways = (way if isinstance(way, str) else words[way].format(self.about) for way in self.ways_out)
        return add_ways_out(self.fact, ways)


class OptionError(LatentSyncError):
    """An option lies outside its range, or two options contradict each other."""


class VideoError(LatentSyncError):
    """A clip can't be read: missing, without frames, cut short, or in a format that isn't supported."""


class ClipChangedError(VideoError):
    """The clip's file is not the one that an earlier stage looked at."""


class AudioError(LatentSyncError):
    """A sound can't be used: missing, empty, not finite, or not a sound."""


class DialogueError(LatentSyncError):
    """Lines of dialogue can't be used: no known format, a damaged file, or times that contradict each other."""


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
