"""The page in another language: nodes and the extension's own words are translated, and come back in English."""

from __future__ import annotations

import pytest

from dev.make_locales import read_catalog
from tests.browser.page import ComfyPage

SAMPLER = "LatentSyncDubSampler"
FRENCH = read_catalog("fr")
_SAY = """async (text) => {
    const {default: _, ...words} = await import(text[0]);
    return words.say(text[1], {frame: 7});
}"""
_SHOWN = """(id) => { const node = app.graph.getNodeById(id); return {
    title: node.title,
    inputs: Object.fromEntries(node.inputs.map((input) => [input.name, input.localized_name])),
    widgets: Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.label])),
    outputs: node.outputs.map((output) => output.localized_name),
}; }"""


def words_module(page: ComfyPage) -> str:
    """The address at which the page loaded web/js/words.js."""
    (address,) = page.page.evaluate(
        """async () => (await (await app.api.fetchApi("/extensions")).json()).filter((one) => one.includes("atent")
            && one.endsWith("/words.js"))"""
    )
    return address


@pytest.fixture
def french_page(page: ComfyPage):
    page.page.evaluate("() => app.extensionManager.setting.set('Comfy.Locale', 'fr')")
    page.open()
    page.clear()
    yield page
    page.page.evaluate("() => app.extensionManager.setting.set('Comfy.Locale', 'en')")
    page.open()


def test_nodes_and_words_are_french_on_a_french_page(french_page):
    shown = french_page.page.evaluate(_SHOWN, french_page.add(SAMPLER))
    assert shown["title"] == FRENCH["texts"]["LatentSync Face Sampler"]
    assert shown["inputs"]["faces"] == FRENCH["names"]["faces"]
    assert shown["widgets"]["steps"] == FRENCH["names"]["steps"]
    assert shown["outputs"] == [FRENCH["names"]["synced"]]
    said = french_page.page.evaluate(_SAY, [words_module(french_page), "Marked in frame {frame}. Run the node again."])
    assert said == FRENCH["words"]["Marked in frame {frame}. Run the node again."].format(frame=7)
    assert french_page.problems() == []


def test_an_input_with_a_unit_in_its_english_name_is_translated_too(french_page):
    shown = french_page.page.evaluate(_SHOWN, french_page.add("LatentSyncDubPrepareFaces"))
    assert shown["widgets"]["max_yaw"] == FRENCH["names"]["max_yaw (degrees)"]


def test_words_without_a_translation_stay_english(page):
    assert page.page.evaluate(_SAY, [words_module(page), "Nobody translates {frame}."]) == "Nobody translates 7."
