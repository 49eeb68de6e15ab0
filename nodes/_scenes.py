"""The clips and faces that nodes have prepared, each behind a key by which the page may ask about them.

A key is a random text that only this server knows the meaning of; it is no path, and nothing can be asked of a scene
that no node of this server made.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections import deque
from dataclasses import dataclass

import numpy as np

from ..latentsync_core.faces.alignment.align_options import AlignOptions
from ..latentsync_core.faces.face_tracks import FaceTracks
from ..latentsync_core.faces.limits import TouchLimits
from ..latentsync_core.video.clip import Clip

SCENE = "latentsync_scene"  # in what a node returns for the page, and the message of one that fails: the scene's key
KEPT = 16  # scenes that stay known when ComfyUI's cache has dropped them; some bytes per face and frame each


@dataclass(frozen=True)
class Scene:
    """The faces of a clip, and which of them a choice by picture or mask meant."""

    faces: FaceTracks
    base: tuple[int, ...] | None = None  # tracks, before any were switched on or off; None: of another choice
    occluded_track: np.ndarray | None = None  # (N,) whose mouth is occluded, see describe_scene; None: not known


class Scenes:
    """Scenes by their keys. One is known while ComfyUI's cache holds its faces, the last ones longer.

    Those whose frames are in memory are never kept by this: they may be gigabytes.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[weakref.ref[FaceTracks], tuple[int, ...] | None, np.ndarray | None]] = {}
        self._latest: deque[FaceTracks] = deque(maxlen=KEPT)
        self._lock = threading.Lock()  # nodes add in their thread, the server looks up in its own

    def add(
        self, faces: FaceTracks, base: tuple[int, ...] | None = None, occluded_track: np.ndarray | None = None
    ) -> str:
        """Makes the faces known; returns their key."""
        key = secrets.token_hex(16)
        with self._lock:
            self._known = {known: held for known, held in self._known.items() if held[0]() is not None}
            self._known[key] = weakref.ref(faces), base, occluded_track
            if faces.clip.images is None:
                self._latest.append(faces)
        return key

    def find(self, key: str) -> Scene | None:
        """The scene of a key; None where there is none, or none any more."""
        with self._lock:
            held = self._known.get(key)
        faces = held[0]() if held else None
        return Scene(faces, *held[1:]) if held and faces is not None else None


scenes = Scenes()


def show_faces(faces: FaceTracks, node_id: str | None, opens: bool = False) -> str | None:
    """Tells the page that queued the running graph of faces that a node has found, before the node has ended.

    `opens` has the page open the node's picker. Returns the scene's key. None, and nothing is told, for frames in
    memory: nothing keeps them when the node ends.
    """
    from server import PromptServer

    if faces.clip.images is not None:
        return None
    key = scenes.add(faces)
    server = getattr(PromptServer, "instance", None)
    page = getattr(server, "client_id", None)
    if server is not None and page is not None and node_id is not None:
        server.send_sync(SCENE, {"node": node_id, "key": key, "opens": opens}, page)
    return key


def add_occlusions(faces: FaceTracks, source_index: np.ndarray, occluded: np.ndarray) -> str:
    """Makes the faces known once more, with what was found to be in front of them; returns the new key.

    Args:
        source_index: (F,) the clip's frame that each frame of the result shows.
        occluded: (F,) bool: whether something in front of the mouth was left unchanged there.
    """
    track = np.full(faces.clip.frame_count, -1)
    frames = source_index[occluded]
    track[frames] = faces.path.track[frames]
    return scenes.add(faces, occluded_track=track)


def show_clip_without_faces(clip: Clip, node_id: str | None) -> None:
    """Tells the page likewise of a clip in which no face was found, so that one can be marked."""
    nobody = FaceTracks(clip, (), ((0, clip.frame_count),), AlignOptions(), TouchLimits(), chosen=())
    show_faces(nobody, node_id, opens=True)
