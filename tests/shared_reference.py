"""Finds the shared folder of full reference data and media; tests that need it skip, saying so, where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("LATENTSYNC_SHARED") or ROOT.parent / "shared")

needs_shared = pytest.mark.skipif(
    not (SHARED / "reference").is_dir(),
    reason=f"full reference data not found at {SHARED}; set LATENTSYNC_SHARED to its folder",
)
