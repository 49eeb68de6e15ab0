"""Answers the page's questions about a result and the clip behind it: frames, times, mouths, and the filmed video.

The filmed video is made when a page first asks for it. A request names a comparison by its key: no path comes from
outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from ..latentsync_core.compositing.comparing.filmed_copy import has_sound
from ..latentsync_core.errors import ClipChangedError, LatentSyncError
from ..latentsync_core.runs import runs_where
from ..latentsync_core.video.reading.probing import check_identity
from ._comfy import saved_result
from ._comparisons import Comparison, comparisons
from ._filmed_copies import FilmedCopies
from ._scene_routes import FOREVER

PREFIX = "/latentsync_dub/comparisons/{key:[0-9a-f]{32}}"
GONE = "This result is no longer in memory; run this node again."
CHANGED = "The clip changed since this result was made; run this node again."
NOT_MADE = "The filmed side isn't made yet."
UNSTORED = {"Cache-Control": "no-store"}

Answer = TypeVar("Answer")


def register_comparison_routes() -> None:
    """Adds the routes to ComfyUI's server; call it while packs are loaded, before the server starts."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    routes, copies = server.routes, FilmedCopies()

    async def in_thread(work: Callable[..., Answer], *arguments: Any) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)
        except ClipChangedError:
            raise _problem(web.HTTPConflict, CHANGED) from None
        except LatentSyncError as error:
            raise _problem(web.HTTPUnprocessableEntity, str(error)) from None

    @routes.get(PREFIX)
    async def comparison(request: web.Request) -> web.Response:
        return web.json_response(await in_thread(_description, _comparison(request)), headers=FOREVER)

    @routes.get(PREFIX + "/frames")
    async def frames(request: web.Request) -> web.Response:
        found = _comparison(request)
        table = found.times.astype("<f8").tobytes() + found.source_index.astype("<i4").tobytes()
        return web.Response(body=table, content_type="application/octet-stream", headers=FOREVER)

    @routes.get(PREFIX + r"/mouths/{speaker:[0-9]{1,2}}")
    async def mouths(request: web.Request) -> web.Response:
        found, speaker = _comparison(request), int(request.match_info["speaker"])
        if speaker >= len(found.mouths):
            raise _problem(web.HTTPNotFound, f"There is no speaker {speaker}.")
        body = found.mouths[speaker].tobytes()
        return web.Response(body=body, content_type="application/octet-stream", headers=FOREVER)

    @routes.post(PREFIX + "/filmed")
    async def filmed(request: web.Request) -> web.Response:
        return web.json_response(await in_thread(_filmed_state, _comparison(request), copies), headers=UNSTORED)

    @routes.get(PREFIX + "/filmed.mp4")
    async def filmed_video(request: web.Request) -> web.FileResponse:
        path = await in_thread(_filmed_path, _comparison(request), copies)
        return web.FileResponse(path, headers={"Content-Type": "video/mp4", **UNSTORED})


def _comparison(request: web.Request) -> Comparison:
    found = comparisons.find(request.match_info["key"])
    if found is None or not found.played.is_file():
        raise _problem(web.HTTPNotFound, GONE)
    return found


def _description(comparison: Comparison) -> dict[str, Any]:
    clip = comparison.output_clip
    return {
        "frames": len(comparison.pts),
        "frame_seconds": float(1 / clip.fps),  # for which the last one is shown
        "size": [clip.width, clip.height],
        "sample_aspect": float(clip.sample_aspect),
        "dubbed": saved_result(comparison.played),
        "dubbed_sound": has_sound(comparison.played),
        "speakers": len(comparison.mouths),
        "changed": runs_where(comparison.changed),
        "occluded": runs_where(comparison.occluded),
    }


def _filmed_state(comparison: Comparison, copies: FilmedCopies) -> dict[str, Any]:
    """Whether the filmed side can be played, and whether it has sound; until then how far its copy is."""
    check_identity(comparison.clip)
    if not comparison.plays_own_file:
        job = copies.ask(comparison)
        if job is not None:
            return {"ready": False, "done": job.done, "total": job.total}
    return {"ready": True, "sound": has_sound(_filmed_path(comparison, copies))}


def _filmed_path(comparison: Comparison, copies: FilmedCopies) -> Path:
    check_identity(comparison.clip)
    if comparison.plays_own_file:
        return comparison.clip.identity.path
    path = copies.path(comparison)
    if not path.is_file():
        raise _problem(web.HTTPNotFound, NOT_MADE)
    return path


def _problem(kind: Callable[..., web.HTTPException], sentence: str) -> web.HTTPException:
    return kind(text=sentence, content_type="text/plain")
