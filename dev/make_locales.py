"""Writes locales/: the nodes' names and tooltips, and the page's own words, in the languages of dev/translations.

    python -m dev.make_locales

A catalog, dev/translations/LANGUAGE.json, has each translation under the English text itself, so that a text that is
changed in a node lacks its translation until somebody writes another one: `texts` are names and descriptions of nodes
and tooltips, `names` are those of inputs and outputs, `words` are those that web/js gives to `say`. The script needs
ComfyUI, whose server describes the nodes. It stops, and says what to write, where a catalog isn't complete.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CATALOGS, LOCALES, SCRIPTS = ROOT / "dev" / "translations", ROOT / "locales", ROOT / "web" / "js"
LANGUAGES = ("de", "es", "fr", "it", "zh")
WORDS_KEY = "latentsyncDub"  # of main.json, where web/js/words.js finds them
SAID = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"')
OUTCOME = re.compile(r'"([^"]+)", "#[0-9a-f]{6}"\]')  # of tables of words and colours, said later
KEPT = re.compile(r"\{\w+\}|\d+(?:\.\d+)?")  # what a translation has to repeat: placeholders and numbers

Catalog = dict[str, dict[str, str]]


def read_catalog(language: str) -> Catalog:
    return json.loads((CATALOGS / f"{language}.json").read_text("utf-8"))


def said_words() -> set[str]:
    """The English words of the page's own scripts."""
    sources = [path.read_text("utf-8") for path in sorted(SCRIPTS.rglob("*.js"))]
    found = {json.loads(f'"{text}"') for source in sources for text in SAID.findall(source)}
    return found | {text for source in sources for text in OUTCOME.findall(source)}


def english(nodes: Mapping[str, Any]) -> dict[str, set[str]]:
    """All English texts by the catalogs' sections; `nodes` are ours in /object_info."""
    texts: set[str] = set()
    names: set[str] = set()
    for node in nodes.values():
        texts |= {node["display_name"], node["description"]}
        for _, name, tooltip in _inputs(node):
            names.add(name)
            texts.add(tooltip)
        for name, tooltip in _outputs(node):
            names.add(name)
            texts.add(tooltip)
    return {"texts": texts - {""}, "names": names - {""}, "words": said_words()}


def problems(language: str, catalog: Catalog, wanted: Mapping[str, set[str]]) -> list[str]:
    """A sentence for each translation that is missing, stale, empty, or lacks a placeholder or number."""
    found = []
    for section, sources in wanted.items():
        own = catalog.get(section, {})
        found += [f"{language}, {section}: no translation of {text!r}" for text in sorted(sources - own.keys())]
        found += [f"{language}, {section}: {text!r} is no longer used" for text in sorted(own.keys() - sources)]
        for text in sorted(sources & own.keys()):
            missing = set(KEPT.findall(text)) - set(KEPT.findall(own[text]))
            if missing:
                found.append(f"{language}, {section}: the translation of {text!r} lacks {', '.join(sorted(missing))}")
            if not own[text].strip():
                found.append(f"{language}, {section}: the translation of {text!r} is empty")
    return found


def node_defs(nodes: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """nodeDefs.json as ComfyUI's page reads it."""
    texts, names = catalog["texts"], catalog["names"]
    return {
        kind: {
            "display_name": texts[node["display_name"]],
            "description": texts[node["description"]],
            "inputs": {
                key.replace(".", "_"): {"name": names[name], **({"tooltip": texts[tooltip]} if tooltip else {})}
                for key, name, tooltip in _inputs(node)
            },
            "outputs": {
                str(place): {"name": names[name], **({"tooltip": texts[tooltip]} if tooltip else {})}
                for place, (name, tooltip) in enumerate(_outputs(node))
            },
        }
        for kind, node in sorted(nodes.items())
    }


def files(nodes: Mapping[str, Any], language: str, catalog: Catalog) -> dict[Path, str]:
    """The texts of a language's files, by path."""
    contents = {"nodeDefs.json": node_defs(nodes, catalog), "main.json": main_words(catalog)}
    return {
        LOCALES / language / name: json.dumps(data, ensure_ascii=False, indent=2) + "\n"
        for name, data in contents.items()
    }


def main_words(catalog: Catalog) -> dict[str, dict[str, str]]:
    """main.json: the words of web/js."""
    return {WORDS_KEY: dict(sorted(catalog["words"].items()))}


def _inputs(node: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each input's id, the name that the page shows, and its tooltip."""
    for part in ("required", "optional"):
        for key, spec in node["input"].get(part, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            yield key, options.get("display_name") or key, options.get("tooltip") or ""


def _outputs(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tooltips = node.get("output_tooltips") or [""] * len(node["output_name"])
    for name, tooltip in zip(node["output_name"], tooltips, strict=True):
        yield name, tooltip or ""


def main() -> None:
    from tests.comfyui.harness.server import ComfyServer

    with ComfyServer() as server:
        nodes = {kind: node for kind, node in server.object_info().items() if kind.startswith("LatentSyncDub")}
    wanted = english(nodes)
    catalogs = {language: read_catalog(language) for language in LANGUAGES}
    found = [problem for language in LANGUAGES for problem in problems(language, catalogs[language], wanted)]
    if found:
        sys.exit("\n".join(found))
    for language, catalog in catalogs.items():
        for path, text in files(nodes, language, catalog).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
