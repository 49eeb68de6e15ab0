"""Reads the manifest of a signed film with c2pa-python's own reader."""

from __future__ import annotations

import json
from pathlib import Path

import c2pa


def checked(film: Path, authority: str | None = None) -> dict:
    """What the library's own reader finds in a film, with `authority` trusted."""
    settings = {"verify": {"verify_trust": authority is not None, "remote_manifest_fetch": False}}
    if authority is not None:
        settings["trust"] = {"trust_anchors": authority}
    with c2pa.Context(c2pa.Settings.from_dict(settings)) as context, c2pa.Reader(str(film), context=context) as reader:
        return json.loads(reader.json())


def manifest(film: Path) -> dict:
    found = checked(film)
    return found["manifests"][found["active_manifest"]]
