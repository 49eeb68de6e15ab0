"""Serves the help pages in every language that ComfyUI's page asks for, so that no request fails.

The page asks for `docs/<node>/<language>.md` first and, where that fails, for `docs/<node>.md`; ours have one language.
"""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web

PACK = Path(__file__).parents[1]  # not resolved: a link's own name is the pack's name in the page's addresses
DOCS = PACK / "web" / "docs"
PLAIN_NAME = re.compile(r"[\w.-]+")  # of a folder, with nothing that an address or a route would read otherwise


def register_help_pages() -> None:
    """Adds the route to ComfyUI's server; call it while packs are loaded, before the server adds its static files."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is None or not PLAIN_NAME.fullmatch(PACK.name):
        return

    @server.routes.get(rf"/extensions/{PACK.name}/docs/{{node:LatentSyncDub\w+}}/{{language}}.md")
    async def help_page(request: web.Request) -> web.StreamResponse:
        page = DOCS / f"{request.match_info['node']}.md"
        if not page.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(page, headers={"Content-Type": "text/markdown; charset=utf-8"})
