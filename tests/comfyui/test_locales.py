"""Names and tooltips of every node are translated into every language, and ComfyUI serves what was written."""

from __future__ import annotations

import json
import urllib.request

import pytest

from dev.make_locales import LANGUAGES, WORDS_KEY, english, files, problems, read_catalog
from tests.comfyui.harness.server import ComfyServer


@pytest.fixture(scope="module")
def nodes(comfy: ComfyServer) -> dict[str, dict]:
    """The pack's nodes in /object_info."""
    return {kind: info for kind, info in comfy.object_info().items() if kind.startswith("LatentSyncDub")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_missing_or_stale(nodes, language):
    assert problems(language, read_catalog(language), english(nodes)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_are_made_of_the_catalog_and_of_the_nodes(nodes, language):
    for path, text in files(nodes, language, read_catalog(language)).items():
        assert path.read_text("utf-8") == text, path


def test_a_text_that_changes_lacks_its_translation(nodes):
    changed = json.loads(json.dumps(nodes))
    changed["LatentSyncDubSampler"]["description"] = "Another description, of 3 words."
    found = problems("fr", read_catalog("fr"), english(changed))
    assert any("no translation of 'Another description" in one for one in found)
    assert any("is no longer used" in one for one in found)


def test_the_server_gives_the_page_all_languages(comfy, nodes):
    with urllib.request.urlopen(f"{comfy.url}/i18n") as answer:
        served = json.load(answer)
    for language in LANGUAGES:
        assert set(nodes) <= set(served[language]["nodeDefs"])
        assert served[language][WORDS_KEY]["Frame"] == read_catalog(language)["words"]["Frame"]
