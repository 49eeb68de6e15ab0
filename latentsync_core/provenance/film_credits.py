"""What a written film says of its making: the tool, its version and the model that generated the lips."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TOOL = "LatentSync Dub"
VERSION = "0.2.0"  # pyproject.toml's; a test compares the two
COMMENT = "comment"  # the one key of free text that MP4, MOV and Matroska all keep
GENERATED = re.compile(rf"AI-generated lips: {re.escape(TOOL)} (\d[\w.+-]*), model (.+)")
MAX_CHARACTERS = 500  # characters of a comment that is taken for one of ours


@dataclass(frozen=True)
class FilmCredits:
    """Who made a film. Nothing in it depends on the time or on chance, so that a repeated run gives the same bytes."""

    model: str = ""  # the name of the model that generated the lips, or several names; empty where none was generated
    version: str = VERSION  # of the tool

    @property
    def text(self) -> str:
        """One line for the container."""
        tool = f"{TOOL} {self.version}"
        return f"AI-generated lips: {tool}, model {self.model}" if self.model else f"Written by {tool}"

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> FilmCredits | None:
        """The credits in a container's texts; None where this tool didn't generate the film's lips."""
        text = next((text for name, text in texts.items() if name.lower() == COMMENT), "")  # Matroska's are in capitals
        found = GENERATED.fullmatch(text) if len(text) <= MAX_CHARACTERS and text.isprintable() else None
        return cls(model=found[2], version=found[1]) if found else None
