"""TTML and EBU-TT, by ttconv: lines of an XML text, whose entities and depth are checked before anything is built."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any
from xml.parsers import expat

from ...errors import DialogueError
from ...required_packages import importing
from .dialogue import DialogueLine

MAX_DEPTH = 32  # of elements: tt, body, div, p, span and some within each other
MAX_ELEMENTS = 400_000
TTML = "{http://www.w3.org/ns/ttml}"
METADATA = "{http://www.w3.org/ns/ttml#metadata}"
XML_ID, XML_LANG = (f"{{http://www.w3.org/XML/1998/namespace}}{name}" for name in ("id", "lang"))
# What ttconv raises for a document that it can't make sense of.
READER_ERRORS = (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError)


def read_timed_text(text: str, name: str) -> tuple[DialogueLine, ...]:
    """The paragraphs of a TTML or EBU-TT document; a speaker is the agent that a paragraph names.

    Raises:
        DialogueError: no XML, XML with a document type or entities, or no TTML.
        ToolError: ttconv is missing.
    """
    _check_xml(text, name)
    root = ElementTree.fromstring(text)
    if root.tag != f"{TTML}tt":
        raise DialogueError(f"{name} is XML but no TTML or EBU-TT: its root is {root.tag[:60]!r}; export it as TTML.")
    speakers = _speakers(root)
    with importing("ttconv"):
        from ttconv.imsc import reader
        from ttconv.model import P
    try:
        document = reader.to_model(ElementTree.ElementTree(root))
    except READER_ERRORS as problem:
        raise DialogueError(f"{name} can't be read as TTML ({problem}): export it again.") from None
    body = document.get_body() if document is not None else None
    if body is None:
        return ()
    return tuple(
        DialogueLine(start, end, words, speakers.get(paragraph.get_lang(), ""))
        for paragraph, start, end in _timed_paragraphs(body, P, name)
        if (words := _words(paragraph))
    )


def _check_xml(text: str, name: str) -> None:
    """Reads the whole document without building anything of it."""

    def refuse(*_args: Any) -> int:
        raise DialogueError(
            f"{name} has a document type or entities, which subtitles don't need and which can be a trap: export it "
            "again without them."
        )

    depth = elements = 0

    def enter(_tag: str, _attributes: dict) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise DialogueError(f"{name} has too many elements within each other, or in all: it is no subtitle file.")

    def leave(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = enter, leave
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as problem:
        raise DialogueError(f"{name} is no well-formed XML ({problem}): export it again.") from None


def _speakers(root: ElementTree.Element) -> dict[str, str]:
    """The speaker of each paragraph, by a language tag that the paragraph is given here.

    ttconv keeps neither agents nor identifiers of paragraphs, but their language, which is not needed otherwise.
    """
    agents = {agent.get(XML_ID): _agent_name(agent) for agent in root.iter(f"{METADATA}agent")}
    speakers = {}
    for number, paragraph in enumerate(root.iter(f"{TTML}p")):
        named = (paragraph.get(f"{METADATA}agent") or "").split()
        if named:
            tag = f"x-line-{number}"
            paragraph.set(XML_LANG, tag)
            speakers[tag] = agents.get(named[0]) or named[0]
    return speakers


def _agent_name(agent: ElementTree.Element) -> str:
    return " ".join((agent.findtext(f"{METADATA}name") or "").split())


def _timed_paragraphs(
    element: Any, paragraph: type, name: str, begin: Fraction = Fraction(0), parent_end: Fraction | None = None
) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """The paragraphs below an element with their times; an element's times count from its parent's begin.

    An end of a parent counts only for what has none itself: ttconv works out those that aren't written, and forgets to
    add the parent's own begin.
    """
    own_begin = begin + (element.get_begin() or 0)
    own_end = parent_end if element.get_end() is None else begin + element.get_end()
    if not isinstance(element, paragraph):
        for child in element:
            yield from _timed_paragraphs(child, paragraph, name, own_begin, own_end)
        return
    spans = [span for span in element if span.get_begin() is not None or span.get_end() is not None]
    if element.get_begin() is None and spans:  # EBU-TT may put the times on spans
        own_end = own_end or _latest(own_begin + span.get_end() for span in spans if span.get_end() is not None)
        own_begin += min(span.get_begin() or Fraction(0) for span in spans)
    if own_end is None:
        raise DialogueError(f"In {name} a line at {float(own_begin):.3f} s has no end: add its end or its dur.")
    yield element, own_begin, own_end


def _latest(times: Iterable[Fraction]) -> Fraction | None:
    return max(times, default=None)


def _words(paragraph: Any) -> str:
    from ttconv.model import Br, Text

    parts = []
    for element in paragraph.dfs_iterator():
        if isinstance(element, Br):
            parts.append("\n")
        elif isinstance(element, Text):
            parts.append(" ".join(f"x{element.get_text()}x".split())[1:-1])
    return "\n".join(row for part in "".join(parts).split("\n") if (row := " ".join(part.split())))
