"""Which models a composited film credits."""

from __future__ import annotations

from collections.abc import Sequence

from ..models.names import one_line
from ..provenance.film_credits import FilmCredits
from ..sampling.synced_faces import SyncedFaces


def credits_for(synced_per_speaker: Sequence[SyncedFaces]) -> FilmCredits:
    """The credits of a film with these faces: the models whose mouths show in any of its frames."""
    names = dict.fromkeys(one_line(one.model) for one in synced_per_speaker if one.blend.any())
    return FilmCredits(", ".join(names))
