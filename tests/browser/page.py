"""Drives ComfyUI's own page in chromium: graphs, the queue, what nodes show, errors, the template browser, pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PageTimeout

from tests.comfyui.harness.server import PACK_FOLDER, ComfyServer

FLAGS = """
--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
--disable-sync --autoplay-policy=no-user-gesture-required
"""
SIZE = {"width": 1600, "height": 1000}
OPEN_SECONDS = 120
# What the page asks for and does without: files of a used profile, and the models of its own first graph.
EXPECTED_MISSING_URLS = ("/user.css", "/userdata", "/favicon.ico", "/missingModelMetadata")
# The page's own word about its own start, of no consequence.
KNOWN_START_MESSAGE = "ComfyApp graph accessed before initialization"
ENDINGS = ["execution_success", "execution_error", "execution_interrupted"]

_RECORD_EVENTS = """() => {
    window.comfyEvents = [];
    const record = (type, detail) => window.comfyEvents.push({type, detail});
    for (const type of ["execution_start", "execution_cached", "executing", "progress", "progress_state", "executed",
                        "execution_success", "execution_error", "execution_interrupted"])
        app.api.addEventListener(type, (event) => record(type, event.detail));
    app.api.addEventListener("b_preview", (event) => record("preview", {bytes: event.detail.size}));
    app.api.addEventListener("b_preview_with_metadata", (event) => record("preview_of_node",
        {node: event.detail.nodeId ?? event.detail.displayNodeId, bytes: event.detail.blob?.size}));
}"""
_ENDED = "([from, endings]) => window.comfyEvents.slice(from).some((event) => endings.includes(event.type))"


@dataclass(frozen=True)
class PageRun:
    """How a queued graph ended: `status` is "success", "error", "interrupted" or "refused" (then nothing ran).

    `events` are the page's own, in order: {"type", "detail"}; `outputs` are what nodes show; `error` is the sentence
    that the failed node shows, or a refused graph's errors, one a line.
    """

    status: str
    events: list[dict]
    outputs: dict[str, dict]
    error: str

    @property
    def nodes_run(self) -> list[str]:
        """The ids of the nodes that ran, in order."""
        states = [event["detail"]["nodes"] for event in self.events if event["type"] == "progress_state"]
        return list(dict.fromkeys(node for state in states for node in state))

    @property
    def previews(self) -> list[dict]:
        """The preview pictures that the page got while nodes ran."""
        return [event["detail"] for event in self.events if event["type"] == "preview"]


def launch(playwright: Playwright, chromium: str) -> Browser:
    """A headless chromium with a fresh profile that stays away from the network."""
    return playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())


class ComfyPage:
    """The page of one server; `page` is playwright's, for what isn't covered here."""

    def __init__(self, browser: Browser, server: ComfyServer) -> None:
        self.server = server
        self._context = browser.new_context(viewport=SIZE)
        self.page: Page = self._context.new_page()
        self._problems: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._problems.append(f"uncaught: {error}"))

    def close(self) -> None:
        """Closes the page."""
        self._context.close()

    # Opening, and what it says

    def open(self) -> None:
        """Opens the page, or opens it again, and waits until it is ready."""
        self.page.goto(self.server.url)
        # Ready, and the graph that the page starts with is there: it would replace one that was begun before.
        ready = "window.app?.vueAppReady === true && window.app.extensionManager?.workflow?.activeWorkflow != null"
        self.page.wait_for_function(ready, timeout=OPEN_SECONDS * 1000)
        self.page.evaluate(_RECORD_EVENTS)

    def refresh(self) -> None:
        """Asks the server anew for what nodes and files there are, as the page's key R does."""
        self.page.evaluate("() => app.refreshComboInNodes()")

    def problems(self) -> list[str]:
        """The console's errors and uncaught exceptions so far, without the known ones of a fresh, offline profile."""
        return list(self._problems)

    def forget_problems(self) -> None:
        """Starts the list of problems anew."""
        self._problems.clear()

    def _on_console(self, message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        elsewhere = place.startswith("http") and not place.startswith(self.server.url)
        known = KNOWN_START_MESSAGE in message.text or any(name in place for name in EXPECTED_MISSING_URLS)
        if message.type == "error" and not elsewhere and not known:
            self._problems.append(f"{message.text} ({place})")

    # Graphs

    def clear(self) -> None:
        """Empties the graph, forgets what its nodes showed, and closes what lies over it."""
        self.page.keyboard.press("Escape")
        self.page.evaluate(
            "() => { app.clean(); app.graph.clear(); app.lastNodeErrors = null; app.lastExecutionError = null; }"
        )

    def load_workflow(self, workflow: dict | Path) -> None:
        """Opens a saved workflow (UI format), as dropping its file on the page does."""
        if isinstance(workflow, Path):
            workflow = json.loads(workflow.read_text(encoding="utf-8"))
        self.page.evaluate("(workflow) => app.loadGraphData(workflow, true, true, null)", workflow)

    def missing_nodes(self) -> list[str]:
        """The types in the graph that no installed pack provides."""
        return self.page.evaluate("""() => [...new Set(app.graph.nodes.map((node) => node.type))]
            .filter((type) => !(type in LiteGraph.registered_node_types)).sort()""")

    def add(self, kind: str, at: tuple[int, int] = (100, 100), **widgets: object) -> str:
        """Adds a node, sets its widgets by name, and gives its id."""
        script = """([kind, at, widgets]) => {
            const node = LiteGraph.createNode(kind);
            if (!node) throw new Error("no such node: " + kind);
            node.pos = at;
            app.graph.add(node);
            return String(node.id);
        }"""
        node = self.page.evaluate(script, [kind, at, widgets])
        for name, value in widgets.items():
            self.set_widget(node, name, value)
        return node

    def set_widget(self, node: str, name: str, value: object) -> None:
        """Sets a widget as a user would: its callbacks run."""
        script = """([id, name, value]) => {
            const node = app.graph.getNodeById(id);
            const widget = node.widgets?.find((each) => each.name === name);
            if (!widget) throw new Error(`${node.type} has only these widgets: ` + node.widgets?.map((w) => w.name));
            widget.value = value;
            widget.callback?.(value, app.canvas, node);
        }"""
        self.page.evaluate(script, [int(node), name, value])

    def widgets(self, node: str) -> dict[str, object]:
        """A node's widgets and their values."""
        script = "(id) => app.graph.getNodeById(id).widgets?.map((widget) => [widget.name, widget.value ?? null]) ?? []"
        return dict(self.page.evaluate(script, int(node)))

    def connect(self, source: str, output: int | str, target: str, name: str) -> None:
        """Connects an output, by place or name, with an input, by name."""
        script = """([from, output, to, name]) => {
            const [source, target] = [from, to].map((id) => app.graph.getNodeById(id));
            const slot = typeof output === "number" ? output : source.findOutputSlot(output);
            const input = target.findInputSlot(name);
            if (slot < 0 || input < 0 || !source.connect(slot, target, input))
                throw new Error(`can't connect ${source.type}.${output} with ${target.type}.${name}`);
        }"""
        self.page.evaluate(script, [int(source), output, int(target), name])

    def set_mode(self, node: str, mode: int) -> None:
        """Mutes (2), bypasses (4) or enables (0) a node."""
        self.page.evaluate("([id, mode]) => { app.graph.getNodeById(id).mode = mode; }", [int(node), mode])

    def prompt(self) -> dict[str, dict]:
        """The graph as the page would queue it, without what core's own nodes leak into it.

        Their player of a chosen video adds an input named video-preview, once the video is loaded.
        """
        prompt = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        for entry in prompt.values():
            if not entry["class_type"].startswith("LatentSyncDub"):
                entry["inputs"].pop("video-preview", None)
        return prompt

    def workflow(self) -> dict:
        """The graph as the page would save it."""
        return self.page.evaluate("() => app.graph.serialize()")

    # Running

    def queue(self, timeout: float = 120) -> PageRun:
        """Queues the graph and waits until it ends, in success or not."""
        return self.wait(self.start(), timeout)

    def start(self) -> int:
        """Queues the graph; what it gives is for `wait`."""
        before = self.page.evaluate("() => window.comfyEvents.length")
        self.page.evaluate("() => app.queuePrompt(0, 1)")
        return before

    def wait(self, started: int, timeout: float = 120) -> PageRun:
        """Waits until a started graph ends. Raises TimeoutError."""
        if refused := self.node_errors():
            return PageRun("refused", [], {}, "\n".join(refused))
        try:
            self.page.wait_for_function(_ENDED, arg=[started, ENDINGS], timeout=timeout * 1000)
        except PageTimeout as error:
            raise TimeoutError(f"the graph had not ended after {timeout} s; problems: {self.problems()}") from error
        events = self.page.evaluate("(from) => window.comfyEvents.slice(from)", started)
        (ending,) = [
            e for e in events if e["type"] in ("execution_success", "execution_error", "execution_interrupted")
        ]
        status = ending["type"].removeprefix("execution_")
        return PageRun(status, events, self.node_outputs(), ending["detail"].get("exception_message", "").strip())

    def wait_for_event(self, started: int, kind: str, timeout: float = 60) -> None:
        """Waits for a started graph's first event of a kind, e.g. "preview"."""
        script = "([from, kind]) => window.comfyEvents.slice(from).some((event) => event.type === kind)"
        self.page.wait_for_function(script, arg=[started, kind], timeout=timeout * 1000)

    def interrupt(self) -> None:
        """Stops what runs, as the page's button does."""
        self.page.evaluate("() => app.api.interrupt(null)")

    def node_outputs(self) -> dict[str, dict]:
        """What nodes got to show: {node id: {"images": [...], ...}}."""
        return self.page.evaluate("() => app.nodeOutputs ?? {}")

    def node_errors(self) -> list[str]:
        """Why the last queueing was refused, a line for each of a node's errors."""
        return self.page.evaluate("""() => Object.entries(app.lastNodeErrors ?? {}).flatMap(([id, node]) =>
            node.errors.map((error) => `node ${id} (${node.class_type}): ${error.message}: ${error.details}`))""")

    # What a person sees

    def visible_error(self, timeout: float = 30) -> str:
        """The text of the error that the page shows by itself."""
        overlay = self.page.get_by_test_id("error-overlay")
        overlay.wait_for(timeout=timeout * 1000)
        return overlay.inner_text()

    def warning(self, patience: float = 1) -> str:
        """The text of the error that the page shows within a while; empty where it shows none."""
        try:
            return self.visible_error(patience)
        except PageTimeout:
            return ""

    def open_error_details(self) -> None:
        """Clicks on the way from the error that the page shows to its text."""
        self.page.get_by_test_id("error-overlay-see-errors").click()

    def videos(self) -> list[dict]:
        """The players on the page: their source, size, length and whether they can play (`ready`)."""
        return self.page.evaluate("""() => [...document.querySelectorAll("video")].map((video) => ({
            source: video.currentSrc, width: video.videoWidth, height: video.videoHeight, seconds: video.duration,
            ready: video.readyState === 4, error: video.error?.message ?? null}))""")

    def wait_for_video(self, timeout: float = 30, *, source: str = "") -> dict:
        """Waits until a player on the page, whose address has `source` in it, can play, and describes it."""
        ready = """(source) => [...document.querySelectorAll("video")].some((video) => video.readyState === 4
            && video.currentSrc.includes(source))"""
        try:
            self.page.wait_for_function(ready, arg=source, timeout=timeout * 1000)
        except PageTimeout as error:
            raise TimeoutError(f"no player of {source!r} is ready after {timeout} s: {self.videos()}") from error
        return next(video for video in self.videos() if video["ready"] and source in video["source"])

    def wait_for_sound(self, source: str, timeout: float = 30) -> dict:
        """Waits until the audio player whose address has `source` in it can play and is visible: its length, width.

        A canvas node shows its elements with the next frame drawn, so a player can be ready before it has a width.
        """
        ready = """(source) => [...document.querySelectorAll("audio")].filter((player) => player.readyState === 4
            && player.currentSrc.includes(source) && player.checkVisibility() && player.offsetWidth > 0)
            .map((player) => ({seconds: player.duration, width: player.offsetWidth}))[0]"""
        return self.page.wait_for_function(ready, arg=source, timeout=timeout * 1000).json_value()

    def pictures(self, node: str, timeout: float = 30) -> list[dict]:
        """The loaded pictures that a node shows, by their width and height: on the canvas, or in a Vue node."""
        loaded = """(id) => {
            const vue = [...document.querySelectorAll(`[data-node-id="${id}"] img`)];
            const drawn = document.querySelector(`[data-node-id="${id}"]`) ? vue : app.graph.getNodeById(id).imgs ?? [];
            return drawn.length > 0 && drawn.every((picture) => picture.naturalWidth)
                && drawn.map((picture) => ({width: picture.naturalWidth, height: picture.naturalHeight}));
        }"""
        return self.page.wait_for_function(loaded, arg=node, timeout=timeout * 1000).json_value()

    def shows_text(self, text: str, timeout: float = 30) -> bool:
        """Whether a text is to be seen on the page, at latest after a while."""
        try:
            self.page.get_by_text(text).first.wait_for(timeout=timeout * 1000)
        except PageTimeout:
            return False
        return True

    def play(self, source: str, timeout: float = 30) -> float:
        """Has the player of `source` play without sound, and gives its time in seconds once that has advanced."""
        play = """async (source) => {
            const video = [...document.querySelectorAll("video")].find((each) => each.currentSrc.includes(source));
            video.muted = true;
            await video.play();
        }"""
        advanced = """(source) => [...document.querySelectorAll("video")]
            .find((each) => each.currentSrc.includes(source)).currentTime"""
        self.page.evaluate(play, source)
        return self.page.wait_for_function(advanced, arg=source, timeout=timeout * 1000).json_value()

    def use_vue_nodes(self, on: bool) -> None:
        """Switches between the classic nodes (drawn) and the Vue ones (`[data-node-id]` elements)."""
        self.page.evaluate("(on) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", on)
        drawn = "(on) => (document.querySelector('[data-node-id]') !== null) === (on && app.graph.nodes.length > 0)"
        self.page.wait_for_function(drawn, arg=on, timeout=30_000)

    def vue_node(self, node: str) -> Locator:
        """A Vue node's element."""
        return self.page.locator(f'[data-node-id="{node}"]')

    def show_all(self) -> None:
        """Brings the whole graph into view."""
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(800)

    def screenshot(self, path: Path, *, fit: bool = True) -> Path:
        """Takes a picture of the page, by default with the whole graph in view."""
        if fit:
            self.show_all()
        self.page.screenshot(path=path)
        return path

    def open_help(self, node: str) -> None:
        """Selects a node by clicking on its title, and opens its help page."""
        self.click_title(node)
        self.page.get_by_test_id("info-button").click()

    def help_says(self, text: str, timeout: float = 30) -> bool:
        """Whether the open help page has a text, however its lines break, at latest after a while."""
        try:
            self.page.locator(".node-help-content", has_text=text).first.wait_for(timeout=timeout * 1000)
        except PageTimeout:
            return False
        return True

    def help_pictures_load(self, timeout: float = 30) -> bool:
        """Whether the open help page has pictures or films and all of them load."""
        loaded = """() => {
            const shown = [...document.querySelectorAll(".node-help-content :is(img, video)")];
            return shown.length > 0 && shown.every((each) => each.naturalWidth || each.readyState >= 2);
        }"""
        try:
            self.page.wait_for_function(loaded, timeout=timeout * 1000)
        except PageTimeout:
            return False
        return True

    def click_title(self, node: str) -> None:
        """Brings a node into the middle and clicks on its title, which selects it."""
        script = """(id) => {
            const node = app.graph.getNodeById(id), canvas = app.canvas;
            canvas.deselectAll();
            canvas.ds.scale = 1;
            canvas.centerOnNode(node);
            canvas.setDirty(true, true);
            const [x, y] = canvas.ds.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] - 12]);
            const box = canvas.canvas.getBoundingClientRect();
            return [box.left + x, box.top + y];
        }"""
        x, y = self.page.evaluate(script, int(node))
        self.page.wait_for_timeout(300)
        self.page.mouse.click(x, y)

    # Templates

    def open_templates(self, pack: str = PACK_FOLDER) -> list[str]:
        """Opens the template browser at a pack and gives the names it lists."""
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        dialog = self.page.get_by_role("dialog")
        # The dialog begins with ComfyUI's own templates, hundreds of them: a real click would wait until all are drawn.
        dialog.get_by_text(pack, exact=True).first.dispatch_event("click")
        cards = self.page.locator('[data-testid^="template-workflow-"]')
        cards.first.wait_for()
        return [card.get_attribute("data-testid").removeprefix("template-workflow-") for card in cards.all()]

    def template_pictures(self) -> dict[str, bool]:
        """Whether each listed template has a picture that loads."""
        shown = {}
        for card in self.page.locator('[data-testid^="template-workflow-"]').all():
            name = card.get_attribute("data-testid").removeprefix("template-workflow-")
            card.scroll_into_view_if_needed()
            picture = card.locator(f'img[alt="{name}"]')
            try:
                picture.wait_for(timeout=5000)
                shown[name] = picture.evaluate("async (picture) => (await picture.decode(), picture.naturalWidth > 0)")
            except PlaywrightError:
                shown[name] = False
        return shown

    def open_template(self, name: str) -> None:
        """Opens one of the listed templates and waits until its graph is there."""
        self.page.evaluate("() => app.graph.clear()")
        self.page.get_by_test_id(f"template-workflow-{name}").click()
        self.page.wait_for_function("() => app.graph.nodes.length > 0")
