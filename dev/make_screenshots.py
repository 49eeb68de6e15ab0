"""Writes media/*.png, pictures of the documentation: shipped workflows in ComfyUI's page after they ran.

    python -m dev.make_screenshots [--steps N] [NAME ...]

It needs ComfyUI and chromium, as the tests in tests/browser do, and minutes for each workflow on a CPU.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dev.make_workflows import FOLDER, RUN_SECONDS, graph_screenshot, open_comfy_page
from latentsync_core.models.loading.demonstration import demonstration_models
from tests.browser.page import ComfyPage

MEDIA = Path(__file__).parents[1] / "media"
MAX_WIDTH = 1800  # pixels, at most
PALETTE_COLORS = 256  # of a palette: a third of the bytes of true colour
MAX_BYTES = 400_000


@dataclass(frozen=True)
class Screenshot:
    """A workflow by how its name begins, and how the page draws it."""

    workflow: str
    vue: bool


SCREENSHOTS = {
    "workflow-full-control": Screenshot("02", vue=False),
    "workflow-film-dub": Screenshot("05", vue=True),
    "workflow-dialogue": Screenshot("08", vue=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="of the samplers, in place of the workflows' own")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(SCREENSHOTS)}; all where none is given")
    options = parser.parse_args()
    MEDIA.mkdir(exist_ok=True)
    with open_comfy_page() as page:
        for name in options.names or SCREENSHOTS:
            capture(page, SCREENSHOTS[name], options.steps, MEDIA / f"{name}.png")


def capture(page: ComfyPage, shot: Screenshot, steps: int | None, target: Path) -> None:
    """Runs one workflow with the most telling carried model, and writes what the page then shows."""
    page.clear()
    (path,) = FOLDER.glob(f"{shot.workflow} *.json")
    page.load_workflow(path)
    for node in page.workflow()["nodes"]:
        if node["type"] == "LatentSyncDubLoadModel":
            page.set_widget(str(node["id"]), "model", next(iter(demonstration_models())))
        if steps and node["type"] == "LatentSyncDubSampler":
            page.set_widget(str(node["id"]), "quality", "custom")
            page.set_widget(str(node["id"]), "steps", steps)
    page.use_vue_nodes(shot.vue)
    run = page.queue(RUN_SECONDS)
    if run.status != "success":
        raise SystemExit(f"{path.stem}: {run.status}: {run.error}")
    page.show_all()
    page.wait_for_video(source="latentsync_dub%2Fresults")
    page.page.wait_for_timeout(5000)  # until "Job completed" is gone again
    picture = graph_screenshot(page)
    picture.thumbnail((MAX_WIDTH, MAX_WIDTH), Image.Resampling.LANCZOS)
    picture.quantize(PALETTE_COLORS).save(target, optimize=True)
    size = target.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{target.name} has {size} bytes, more than {MAX_BYTES}: lower WIDTH")
    print(f"{target.name}: {picture.width}x{picture.height}, {size // 1000} KB")


if __name__ == "__main__":
    main()
