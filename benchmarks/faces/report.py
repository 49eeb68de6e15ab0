"""The figures of faces found in a clip, as lines to read and rows of a table."""

from __future__ import annotations

import numpy as np

from latentsync_core.faces.face_tracks import FaceTracks

from . import figures


def report(name: str, faces: FaceTracks, truth: figures.Truth, seconds: float) -> tuple[str, dict]:
    """The figures as lines of text, and one row for a table."""
    matches = figures.place(faces, truth)
    count = len(truth.cast)
    cut, who = figures.cuts(faces, truth), figures.people(faces, truth, matches)
    switched, seen = figures.switches(faces, truth, matches), figures.detection_mask(faces, truth, matches)
    errors, crossing = figures.landmark_errors(matches), figures.cross_shot_leakage(faces)
    lines = [f"## {name}", ""]
    lines.append(
        f"frames {count}, exact: {'yes' if figures.covers_every_frame(faces, count) else 'NO'}; "
        f"{seconds:.0f} s of processor time; "
        f"shots whose transforms change with other shots: {crossing[0]} (most {crossing[1]:.3g} px)"
    )
    lines.append(
        f"cuts {cut['cuts']}: precision {cut['precision']:.3f}, recall {cut['recall']:.3f}, F1 {cut['F1']:.3f}; "
        f"missed {cut['missed']}, false {cut['false']}"
    )
    lines.append(
        f"tracks {who['tracks']}, identity switches {len(switched)} {switched}; "
        f"frames on nobody {who['frames on nobody']}"
    )
    lines.append(
        f"persons found {who['found']} of {who['true']}: purity {who['purity']:.3f}, completeness "
        f"{who['completeness']:.3f}; frames by (found, true): {dict(sorted(who['table'].items()))}"
    )
    if errors and truth.yaw is not None:
        yaw = np.abs(truth.yaw[tuple(matches.who.T)])
        parts = ((low, high, matches.errors[(yaw >= low) & (yaw < high)].mean(1)) for low, high in figures.YAW_BANDS)
        turned = (
            f"{low} to {high}°: mean {part.mean():.4f}, 95 % {np.percentile(part, 95):.4f} of {len(part)}"
            for low, high, part in parts
            if len(part)
        )
        lines.append("landmarks by yaw, eye distances: " + "; ".join(turned))
        lines.append("yaw as read, mean (least to most): " + "; ".join(_yaws(faces, truth, matches)))
        lines.append(_flip_error(faces, truth, matches))
    if errors:
        lines.append(
            f"landmarks, eye distances: mean {errors['mean']:.4f}, 95 % {errors['p95']:.4f} (brows, nose "
            f"{', '.join(f'{each:.4f}' for each in errors['points'])}); beside each person's constant offset: mean "
            f"{errors['steady mean']:.4f}, 95 % {errors['steady p95']:.4f}"
        )
        smoothed = figures.landmark_errors(figures.place(figures.smoothed(faces), truth))
        constant = (
            f"{person}: " + ", ".join(f"{x:+.3f} {y:+.3f}" for x, y in offset)
            for person, offset in errors["constant"].items()
        )
        lines.append(f"steadied: mean {smoothed['mean']:.4f}")
        lines.append(f"constant offsets of brows and nose by person: {'; '.join(constant)}")
    lines += [
        "",
        "| faces | " + " | ".join(figures.recall_by_cause(seen, truth)) + " |",
        "|---|" + "---|" * len(figures.recall_by_cause(seen, truth)),
    ]
    for person in (None, *range(truth.cast.shape[1])):
        cells = (
            f"{hit}/{all_} = {hit / all_:.3f}" if all_ else "-"
            for all_, hit in figures.recall_by_cause(seen, truth, person).values()
        )
        lines.append(f"| {'all' if person is None else f'person {person}'} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| chosen | true person | precision | recall | wrong | missed | synced, points off | synced in profile |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = []
    for person in (None, *range(truth.cast.shape[1])):
        row = figures.chosen(faces, truth, matches, person)
        rows.append(row)
        lines.append(
            f"| {'by default' if person is None else 'the person'} | {row['person']} | {row['precision']:.4f} | "
            f"{row['recall']:.4f} | {format_ranges(row['wrong'])} | {format_ranges(row['missed'])} | "
            f"{format_ranges(row['astray'])} | "
            f"{format_ranges(row['turned'])} |"
        )
    summary = {
        "scene": name, "cuts": cut["cuts"], "F1": cut["F1"], "switches": len(switched), "tracks": who["tracks"],
        "default precision": rows[0]["precision"], "default recall": rows[0]["recall"],
        "least precision": min(row["precision"] for row in rows),
        "least recall": min(row["recall"] for row in rows),
        "found": figures.recall_by_cause(seen, truth)["must be found"], "persons": who["found"],
        "purity": who["purity"], "completeness": who["completeness"],
        "error": errors.get("mean", np.nan), "error 95": errors.get("p95", np.nan),
        "astray": sum(len(row["astray"]) for row in rows[1:]), "steady error": errors.get("steady mean", np.nan),
        "crossing": crossing[0],
    }  # fmt: skip
    return "\n".join(lines), summary


def table(rows: list[dict]) -> str:
    """Markdown: a row a scene."""
    head = (
        "scene", "cuts", "F1", "switches", "must be found", "default: precision", "recall", "worst person: precision",
        "recall", "persons", "purity", "completeness", "landmarks: mean", "95 %", "beside offset",
        "synced with points off", "across cuts",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        all_, hit = row["found"]
        lines.append(
            f"| {row['scene']} | {row['cuts']} | {row['F1']:.3f} | {row['switches']} | "
            f"{hit / max(all_, 1):.3f} of {all_} | "
            f"{row['default precision']:.3f} | {row['default recall']:.3f} | {row['least precision']:.3f} | "
            f"{row['least recall']:.3f} | {row['persons']} | {row['purity']:.3f} | {row['completeness']:.3f} | "
            f"{row['error']:.3f} | {row['error 95']:.3f} | {row['steady error']:.3f} | {row['astray']} | "
            f"{row['crossing']} |"
        )
    return "\n".join(lines)


def format_ranges(frames: np.ndarray, most: int = 8) -> str:
    """Frame numbers as ranges: "3-7, 12", at most so many of them."""
    if not len(frames):
        return "none"
    parts = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    shown = [f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts[:most]]
    return f"{len(frames)}: " + ", ".join(shown) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _flip_error(faces: FaceTracks, truth: figures.Truth, matches: figures.TrackMatches) -> str:
    """What is gained and lost by using the flip error."""
    people = range(truth.cast.shape[1])
    counts = []
    for these in (figures.with_reliable_meshes(faces), faces):
        rows = [figures.chosen(these, truth, matches, person) for person in people]
        counts.append([sum(len(row[name]) for row in rows) for name in ("astray", "turned")])
    (astray, turned), (astray_now, turned_now) = counts
    left, total = figures.count_false_profiles(faces, truth, matches)
    return (
        f"flip error ignored and used: synced with points off {astray}, {astray_now}; synced in profile {turned}, "
        f"{turned_now}; taken for turned though under {figures.FRONTAL_YAW:.0f}°: {left} of {total}"
    )


def _yaws(faces: FaceTracks, truth: figures.Truth, matches: figures.TrackMatches) -> list[str]:
    """What the poses say, for every ten degrees of true yaw."""
    rows = []
    for track, on in zip(faces.tracks, matches.on, strict=True):
        seen = np.flatnonzero(on >= 0)
        true = truth.yaw[track.start + seen, on[seen]]
        rows.append(np.stack([np.abs(true), track.pose[seen, 0] * np.sign(true)], 1))
    true, read = np.concatenate(rows).T
    parts = ((low, read[(true >= low) & (true < low + 10)]) for low in range(0, 90, 10))
    return [
        f"{low} to {low + 10}°: {part.mean():.0f} ({part.min():.0f} to {part.max():.0f})"
        for low, part in parts
        if len(part)
    ]
