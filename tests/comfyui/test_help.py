"""Every node's help page names all that the node has, with a picture that is there."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.comfyui.harness.server import PACK_FOLDER

DOCS = Path(__file__).parents[2] / "web" / "docs"
HIDDEN = "hidden"  # inputs that ComfyUI fills in itself
ALL_PICTURES_BYTES = 1_000_000


def our_nodes(comfy) -> dict[str, dict]:
    return {name: node for name, node in comfy.object_info().items() if name.startswith("LatentSyncDub")}


def test_every_node_has_a_page_and_every_page_a_node(comfy):
    assert {path.stem for path in DOCS.glob("*.md")} == set(our_nodes(comfy))


def test_a_page_begins_with_the_nodes_name_and_names_every_input_and_output(comfy):
    for name, node in our_nodes(comfy).items():
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {node['display_name']}\n")
        inputs = [each for kind, inputs in node["input"].items() if kind != HIDDEN for each in inputs]
        assert [each for each in [*inputs, *node["output_name"]] if f"| **{each}**" not in text] == [], name
        assert "## When something goes wrong" in text


def test_a_page_names_no_input_that_the_node_lacks(comfy):
    for name, node in our_nodes(comfy).items():
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        known = {each for inputs in node["input"].values() for each in inputs} | set(node["output_name"])
        assert set(re.findall(r"^\| \*\*(\w+)\*\*", text, re.MULTILINE)) <= known, name


def test_every_page_has_a_picture_and_all_together_are_small():
    for page in DOCS.glob("*.md"):
        pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
        assert pictures, page.name
        for picture in pictures:
            assert (DOCS / picture).is_file(), picture
    assert sum(path.stat().st_size for path in (DOCS / "media").iterdir()) < ALL_PICTURES_BYTES


@pytest.mark.parametrize("language", ["en", "fr", "pt-BR"])
def test_a_page_is_served_in_every_language_that_is_asked_for(comfy, language):
    for page in DOCS.glob("*.md"):
        for address in (f"{page.stem}/{language}.md", page.name):
            with urllib.request.urlopen(f"{comfy.url}/extensions/{PACK_FOLDER}/docs/{address}", timeout=30) as answer:
                assert answer.read() == page.read_bytes()
                assert "text/html" not in answer.headers["Content-Type"]


@pytest.mark.parametrize("address", ["LatentSyncDubNoNode/en.md", "..%2f..%2fREADME/en.md", "README/en.md"])
def test_nothing_but_help_pages_is_served_there(comfy, address):
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"{comfy.url}/extensions/{PACK_FOLDER}/docs/{address}", timeout=30)
    assert answer.value.code in (403, 404)
