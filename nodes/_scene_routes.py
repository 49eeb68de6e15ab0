"""Answers the page's questions about a scene: its faces, boxes, portraits and frames, and what a choice would sync.

Nothing is made before a page asks. A request names a scene by its key and frames and tracks by numbers: no path comes
from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiohttp import web

from ..latentsync_core.errors import ClipChangedError, LatentSyncError, OptionError
from ..latentsync_core.faces.picking.scene_description import (
    box_table,
    describe_choice,
    describe_scene,
    portrait_jpeg,
)
from ..latentsync_core.faces.picking.stills import faint_faces, still_jpeg
from ..latentsync_core.faces.selection import ChooseBy, FaceChoice, base_choice, read_track_list, switch_tracks
from ._scenes import Scene, scenes
from ._wording import errors_in_node_words

PREFIX = "/latentsync_dub/scenes/{key:[0-9a-f]{32}}"
FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}  # a key means one scene, whose frames stay
GONE = "The clip's faces are no longer in memory; run this node again."
DECODERS = 1  # frames decoded at a time: a page asks for one after another, and jobs need the machine

Answer = TypeVar("Answer")


def register_scene_routes() -> None:
    """Adds the routes to ComfyUI's server; call it while packs are loaded, before the server starts."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    routes, decoders = server.routes, ThreadPoolExecutor(DECODERS, "latentsync-stills")  # its thread starts when used

    async def in_thread(work: Callable[..., Answer], *arguments: Any, decodes: bool = False) -> Answer:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(decoders if decodes else None, work, *arguments)
        except ClipChangedError:
            raise _problem(
                web.HTTPConflict, "The clip changed since its faces were prepared; run this node again."
            ) from None
        except LatentSyncError as error:
            raise _problem(web.HTTPUnprocessableEntity, str(error)) from None

    @routes.get(PREFIX)
    async def scene(request: web.Request) -> web.Response:
        found = _scene(request)
        described = await in_thread(describe_scene, found.faces, found.occluded_track)
        return web.json_response(described, headers=FOREVER)

    @routes.get(PREFIX + "/boxes")
    async def boxes(request: web.Request) -> web.Response:
        table = await in_thread(box_table, _scene(request).faces)
        return web.Response(body=table, content_type="application/octet-stream", headers=FOREVER)

    @routes.get(PREFIX + "/choice")
    async def choice(request: web.Request) -> web.Response:
        return web.json_response(await in_thread(_described_choice, _scene(request), dict(request.query)))

    @routes.get(PREFIX + r"/portraits/{track:[0-9]{1,6}}.jpg")
    async def portrait(request: web.Request) -> web.Response:
        tracks, track = _scene(request).faces.tracks, int(request.match_info["track"])
        if track >= len(tracks):
            raise _problem(web.HTTPNotFound, f"There is no track {track}.")
        return web.Response(
            body=await in_thread(portrait_jpeg, tracks[track]), content_type="image/jpeg", headers=FOREVER
        )

    @routes.get(PREFIX + r"/frames/{frame:[0-9]{1,9}}.jpg")
    async def frame(request: web.Request) -> web.Response:
        faces, index = _frame(request)
        picture = await in_thread(still_jpeg, faces.clip, index, decodes=True)
        return web.Response(body=picture, content_type="image/jpeg", headers=FOREVER)

    @routes.get(PREFIX + r"/frames/{frame:[0-9]{1,9}}/faint")
    async def faint(request: web.Request) -> web.Response:
        return web.json_response(await in_thread(faint_faces, *_frame(request), decodes=True), headers=FOREVER)


def _scene(request: web.Request) -> Scene:
    found = scenes.find(request.match_info["key"])
    if found is None:
        raise _problem(web.HTTPNotFound, GONE)
    return found


def _frame(request: web.Request) -> tuple[Any, int]:
    faces, index = _scene(request).faces, int(request.match_info["frame"])
    if index >= faces.clip.frame_count:
        raise _problem(web.HTTPNotFound, f"There is no frame {index}.")
    return faces, index


def _described_choice(scene: Scene, query: dict[str, str]) -> dict[str, Any]:
    """What Select Faces would sync with these values of its widgets; "error" says why it can't."""
    try:
        with errors_in_node_words(query):
            return describe_choice(_choose(scene, query))
    except LatentSyncError as error:
        return {"error": str(error)}


def _choose(scene: Scene, query: dict[str, str]) -> Any:
    by = query.get("by", ChooseBy.LARGEST.value)
    try:
        choice = FaceChoice(
            ChooseBy(by),
            int(query.get("person", 0)),
            (float(query.get("point_x", 0)), float(query.get("point_y", 0))),
            int(query.get("frame", 0)),
            read_track_list(query.get("tracks_on", "")),
            read_track_list(query.get("tracks_off", "")),
        )
    except ValueError:  # the page sends what its widgets hold
        raise OptionError("a value is not a number, or not one of the choices; choose again") from None
    if not scene.faces.tracks:
        return scene.faces
    if choice.by not in (ChooseBy.PICTURE, ChooseBy.MASK):
        return switch_tracks(scene.faces, base_choice(scene.faces, choice), choice)
    if scene.base is None:
        raise OptionError(f"who is meant by the {by} is known after a run; run this node")
    return switch_tracks(scene.faces, scene.base, choice)


def _problem(kind: Callable[..., web.HTTPException], sentence: str) -> web.HTTPException:
    return kind(text=sentence, content_type="text/plain")
