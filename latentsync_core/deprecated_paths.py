"""Import paths that the README of version 0.1 documented; they work until version 0.3, with a warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType

MOVED = {  # module of 0.1: where its public names are now, the first that has one counts
    "audio_features": ("audio.features",),
    "faces.align": ("faces.alignment.align",),
    "faces.choose": ("faces.selection",),
    "video_io": (
        "video.reading.probing", "video.reading.reader", "video.writing.encoding", "video.writing.writer",
    ),
}  # fmt: skip


class MovedModule(ModuleType):
    """A module under its old name, which imports its new place when one of its names is used."""

    def __init__(self, name: str, package: str, places: tuple[str, ...]) -> None:
        super().__init__(name, f"Moved to {', '.join(places)}.")
        self._package, self._places = package, places

    def __getattr__(self, name: str) -> object:
        if not name.startswith("__"):  # the import system asks for __path__ and the like
            for place in self._places:
                module = import_module(f".{place}", self._package)
                if hasattr(module, name):
                    warnings.warn(
                        f"{self.__name__}.{name} has moved: import it from {self._package}.{place}",
                        DeprecationWarning,
                        stacklevel=2,
                    )
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def register(package: str) -> None:
    """Makes the old paths of `package` importable. No module is loaded before one of its names is used."""
    for old, places in MOVED.items():
        sys.modules.setdefault(f"{package}.{old}", MovedModule(f"{package}.{old}", package, places))
