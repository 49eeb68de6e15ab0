"""The report as one HTML file: it loads nothing, runs no script, and opens without a network."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..faces.identity.person_names import person_letter, person_name
from ..provenance.film_credits import TOOL, VERSION
from ..runs import runs_where
from .charts import Bar, Line, line_chart, timeline
from .findings import MOTION_BLIND_SPOT, OUTCOMES, Networks, find, outcome_ranges
from .measures import SPEECH_WEIGHT, PersonMeasures, ResultMeasures

OUTCOME_COLOURS: dict[str, str] = dict(zip(OUTCOMES, ("#e4e7ec", "#a8b3c2", "#4f9f5f", "#d9822b"), strict=True))
SPEECH_COLOUR = "#3f7fbf"
STYLE = """
body { font: 15px/1.5 sans-serif; color: #20262e; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d5d9e0; }
svg { width: 100%; height: auto; } .note { color: #5a6472; font-size: .9rem; }
.key span { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem; }
"""  # noqa: E501
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_page(measures: ResultMeasures, networks: Networks) -> str:
    """The whole page."""
    title = f"Report on {Path(measures.result.name).name}"
    seconds = float(measures.times[-1]) + float(1 / measures.result.fps)
    body = [
        f"<h1>{escape(title)}</h1>",
        _facts(measures, networks, seconds),
        "<h2>Every mouth</h2>",
        _table(measures, networks),
        "<h2>Over time</h2>",
        _timeline(measures, seconds),
        _key(),
    ]
    scored = [person for person in measures.people if person.sync is not None]
    if scored:
        body += [
            "<h2>Sound moved against the picture</h2>",
            line_chart("Distance by offset", "frames at 25 fps by which the sound is late", "distance", [
                Line(person_name(one.person), *_distances(one)) for one in scored
            ]),
            '<p class="note">In sync, the curve has its lowest point at 0, well below the rest.</p>',
            "<h2>Confidence, stretch by stretch</h2>",
            line_chart("Confidence over time", "seconds", "confidence", [
                Line(person_name(one.person), *_confidences(one, measures.times)) for one in scored
            ]),
        ]  # fmt: skip
    body.append(
        f'<p class="note">Motion distance: {escape(MOTION_BLIND_SPOT)}. Scores of different networks can\'t be '
        f"compared. Made by {TOOL} {VERSION}.</p>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>{''.join(body)}</body></html>\n"
    )


def write_page(path: Path, measures: ResultMeasures, networks: Networks) -> None:
    """Writes `report_page`. Raises OutputError where `path` can't be written to."""
    try:
        path.write_text(report_page(measures, networks), "utf-8")
    except OSError as problem:
        raise OutputError(f"can't write {path}: {problem.strerror or problem}; choose another folder") from None


def _facts(measures: ResultMeasures, networks: Networks, seconds: float) -> str:
    beyond = int((measures.index < 0).sum())
    rows = [
        ("result", measures.result.name),
        ("made from", measures.source.name),
        ("sound", measures.sound),
        ("length", f"{len(measures.times)} frames, {seconds:.2f} s at {float(measures.result.fps):.3f} fps"),
        ("sync by", networks.syncnet),
        ("motion by", networks.encoder),
        ("speech by", measures.detector),
    ]
    if beyond:
        rows.append(("not measured", f"{beyond} frames beyond the source's end"))
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _table(measures: ResultMeasures, networks: Networks) -> str:
    if not measures.people:
        return "<p>No mouth differs from the source's.</p>"
    head = ("person", "finding", "offset", "confidence", "new mouth", "motion distance", "border flicker")
    rows = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in _cells(one, measures, networks))}</tr>"
                   for one in measures.people)  # fmt: skip
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{rows}</table>"


def _cells(person: PersonMeasures, measures: ResultMeasures, networks: Networks) -> list[str]:
    finding, score = find(person, measures.speech, networks), person.sync
    return [
        person_letter(person.person),
        finding.value if finding else "see the scores",
        f"{score.offset:+d} frames" if score else "",
        f"{score.confidence:.2f}" if score else "",
        f"{int(person.changed.sum())} of {int(person.seen.sum())} frames",
        "" if person.motion is None else f"{person.motion:.4f}",
        "" if person.flicker is None else f"{person.flicker:.2f} of the source's",
    ]


def _timeline(measures: ResultMeasures, seconds: float) -> str:
    ends = np.append(measures.times[1:], seconds)

    def bar(first: int, stop: int, colour: str, label: str) -> Bar:
        return Bar(float(measures.times[first]), float(ends[stop - 1]), colour, label)

    spoken = runs_where(measures.speech >= SPEECH_WEIGHT)
    rows = [("speech", [bar(first, stop, SPEECH_COLOUR, "speech") for first, stop in spoken])]
    for person in measures.people:
        ranges = outcome_ranges(person, measures.index)
        bars = [bar(first, stop, OUTCOME_COLOURS[outcome], outcome) for first, stop, outcome in ranges]
        rows.append((person_name(person.person), bars))
    return timeline("Speech and mouths over time", seconds, rows)


def _key() -> str:
    colours = {"speech": SPEECH_COLOUR, **OUTCOME_COLOURS}
    spans = "".join(f'<span style="background:{colour}"></span>{name}' for name, colour in colours.items())
    return f'<p class="key note">{spans}</p>'


def _distances(person: PersonMeasures) -> tuple[np.ndarray, np.ndarray]:
    assert person.sync is not None
    distances = np.array(person.sync.distances)
    return np.arange(len(distances)) - len(distances) // 2, distances


def _confidences(person: PersonMeasures, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the stretches' middles and their confidences."""
    scored = [(one.first + one.stop - 1) // 2 for one in person.stretches if one.sync is not None]
    values = [one.sync.confidence for one in person.stretches if one.sync is not None]
    return times[scored], np.array(values)
