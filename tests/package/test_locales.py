"""The words that the page's scripts say are translated into every language, placeholders kept."""

from __future__ import annotations

import json
import re

import pytest

from dev.make_locales import LANGUAGES, LOCALES, SCRIPTS, main_words, problems, read_catalog, said_words

SAID_OTHERWISE = re.compile(r"\bsay\((?!\s*\")([^)]*)\)")  # not a text in quotes, which couldn't be found in a source
KNOWN_EXPRESSIONS = {
    "words", "text", "OCCLUDED[0]", "this.name", 'OUTCOMES[outcome]?.[0] ?? ""', "english, values = {}"
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_scripts_is_translated_and_no_other(language):
    assert problems(language, read_catalog(language), {"words": said_words()}) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_file_holds_the_catalogs_words(language):
    written = json.loads((LOCALES / language / "main.json").read_text("utf-8"))
    assert written == main_words(read_catalog(language))


def test_what_is_said_is_a_text_in_quotes_or_a_known_table():
    sources = "\n".join(path.read_text("utf-8") for path in sorted(SCRIPTS.rglob("*.js")))
    assert set(SAID_OTHERWISE.findall(sources)) <= KNOWN_EXPRESSIONS
    assert {"synced", "seen, not synced", "Frame", "person {person}"} <= said_words()


def test_there_is_a_folder_for_every_language_and_no_other():
    assert {path.name for path in LOCALES.iterdir()} == set(LANGUAGES)
    for language in LANGUAGES:
        assert {path.name for path in (LOCALES / language).iterdir()} == {"main.json", "nodeDefs.json"}


def test_a_missing_a_stale_and_a_careless_translation_are_found():
    catalog = {"words": {"{count} frames synced": "images synchronisées", "gone": "parti", "Frame": " "}}
    found = problems("fr", catalog, {"words": {"{count} frames synced", "Frame", "mark"}})
    assert sorted(found) == [
        "fr, words: 'gone' is no longer used",
        "fr, words: no translation of 'mark'",
        "fr, words: the translation of 'Frame' is empty",
        "fr, words: the translation of '{count} frames synced' lacks {count}",
    ]
