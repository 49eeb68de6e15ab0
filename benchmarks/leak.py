"""How much of the filmed mouth shows under another voice, and in silence: python -m benchmarks.leak

Each clip is lip-synced to silence, to a synthesized voice whose mouth is known, and to its own sound where it has any,
once with every reference mouth, mask and behaviour in pauses that are asked for. The face mesh reads the mouth's
opening in the composited frames, so that filmed people can be measured with any weights; all that the network generates
is pasted, unmatched, so that the network is measured and not the compositor. Openings are given in the range of the
clip's own: 0 is its closed mouth, 1 the opening that it exceeds in a twentieth of the frames.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.pause_options import PauseBehaviour, PauseOptions
from latentsync_core.audio.source import load_audio
from latentsync_core.compositing.composite_options import CompositeOptions, Region
from latentsync_core.compositing.rendering import render
from latentsync_core.errors import AudioError
from latentsync_core.faces.alignment.align import crop_face
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.find import find_faces
from latentsync_core.faces.mouth_opening import mouth_openings
from latentsync_core.models.load_options import LoadOptions
from latentsync_core.models.loading.weights import load_model
from latentsync_core.models.model import LatentSyncModel
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE
from latentsync_core.sampling.closed_references import MAX_CLOSED_SHARE, RANGE_PERCENTILES
from latentsync_core.sampling.quality import resolve_quality
from latentsync_core.sampling.sampler_options import Quality, ReferenceChoice, SamplerOptions
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.video.frame import Frame
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader
from training.opening_statistics import bootstrap, correlation_per_clip, mixing_weights
from training.synthetic.scenes.clip_file import write_clip
from training.synthetic.scenes.scene import talking_head
from training.synthetic.speech.performance import LANGUAGES, SAMPLE_RATE, Performance, perform, sample_voice
from training.unet.measure import pause_mask

VOICE = 7  # seed of the first clip's new voice; the next clip's is one further on
RENDERED_SECONDS, RENDERED_SIZE = 3.0, (256, 256)
PASTED = CompositeOptions(region=Region.MOUTH, occlusion=False, match_color=0.0, match_grain=0.0)


@dataclass
class CroppedError:
    """Squared differences of the synced frames' crops within the mouth mask."""

    resolution: int
    squares: float = 0.0
    count: int = 0

    def add(self, filmed: Frame, shown: Frame, transform: np.ndarray) -> None:
        inside = mouth_mask(self.resolution) == 0
        before, after = (crop_face(frame, transform, self.resolution)[:, inside] for frame in (filmed, shown))
        self.squares += float((before - after).square().sum(dtype=torch.float64))
        self.count += before.numel()

    @property
    def psnr(self) -> float:
        """dB; of levels in [0, 1]."""
        return float(-10 * np.log10(self.squares / self.count)) if self.squares else float("inf")


@dataclass(frozen=True, eq=False)
class Subject:
    """A clip, whose mouth is measured, and the voices that it is lip-synced to."""

    name: str
    faces: FaceTracks
    filmed: np.ndarray  # (N,) openings as filmed
    new_voice: Performance
    embeddings: Mapping[str, object] = field(repr=False)  # by "silence", "new voice" and, with sound, "own voice"

    def relative(self, openings: np.ndarray) -> np.ndarray:
        """Openings in the range of those filmed."""
        return in_range(openings, self.filmed)


def in_range(openings: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Openings with those of `of` going from 0 to 1, but for a twentieth at either end; NaN don't count."""
    low, high = np.nanpercentile(of, RANGE_PERCENTILES)
    return (openings - low) / max(high - low, 1e-6)


def subject(path: Path, number: int, model: LatentSyncModel, language: str, seconds: float | None) -> Subject:
    """Finds the clip's largest face and embeds the voices; SystemExit where too little of a mouth is seen."""
    clip = probe(path).trim(0, seconds)
    faces = find_faces(clip)
    filmed = mouth_openings(faces)
    synced = (faces.path.blend == 1) & np.isfinite(filmed)
    if synced.sum() < clip.fps:
        raise SystemExit(f"{path}: a mouth is seen in {synced.sum()} frames, in less than a second")
    voice = perform(VOICE + number, sample_voice(VOICE + number, language, "test"), clip.duration, "test")
    waveforms = {"silence": np.zeros(round(clip.duration * SAMPLE_RATE), np.float32), "new voice": voice.waveform}
    embeddings = {
        name: embed_audio(load_audio({"waveform": torch.from_numpy(wave)[None, None], "sample_rate": SAMPLE_RATE}),
                          model.whisper)
        for name, wave in waveforms.items()
    }  # fmt: skip
    try:
        embeddings["own voice"] = embed_audio(load_audio(path, clip), model.whisper)
    except AudioError as error:
        print(f"{path.name}: measured without its own voice: {error}")
    return Subject(path.name, faces, filmed, voice, embeddings)


@dataclass(frozen=True)
class Variant:
    """What the clips are lip-synced with."""

    sampler: SamplerOptions
    pauses: PauseOptions


def measure(one: Subject, model: LatentSyncModel, variant: Variant) -> dict[str, float]:
    """The figures of one clip with one set of options."""
    readings, psnr = {}, float("nan")
    for name, embedding in one.embeddings.items():
        error = CroppedError(model.resolution)
        synced = sample(model, one.faces, embedding, variant.sampler, pauses=variant.pauses)
        with synced.patches:
            readings[name] = mouth_openings(one.faces, _composited(synced, error if name == "own voice" else None))
        if name == "own voice":
            psnr = error.psnr
    return figures(one, readings) | {"own voice: PSNR, dB": psnr}


def _composited(synced: SyncedFaces, error: CroppedError | None) -> Iterator[Frame]:
    with FrameReader(synced.faces.clip) as filmed:
        for index, (source, rendered) in enumerate(zip(filmed, render(synced, PASTED), strict=True)):
            if error and synced.blend[index] == 1:
                error.add(source, rendered.frame, synced.transforms[index])
            yield rendered.frame


def figures(one: Subject, readings: Mapping[str, np.ndarray]) -> dict[str, float]:
    """From (N,) openings as read in the three dubs; frames in which a mouth is hidden don't count."""
    times = one.faces.clip.times - one.faces.clip.times[0]
    intended = np.array([mouth.opening for mouth in one.new_voice.mouth(times)])
    known = (one.faces.path.blend == 1) & np.isfinite([one.filmed, *readings.values()]).all(0)
    filmed, silent, dubbed = (
        one.relative(values)[known] for values in (one.filmed, readings["silence"], readings["new voice"])
    )
    new = in_range(intended, intended)[known]
    paused = pause_mask(intended)[known]
    new_weight, filmed_weight = mixing_weights(dubbed[None], new[None], filmed[None])[0]
    found = {
        "frames": int(known.sum()),
        "silence: frames closed": (silent < MAX_CLOSED_SHARE).mean(),
        "silence: median opening": np.median(silent),
        "silence: motion": silent.std() / filmed.std(),
        "silence: filmed mouth's weight": np.polyfit(filmed, silent, 1)[0],
        "new voice: closed in its pauses": (dubbed < MAX_CLOSED_SHARE)[paused].mean() if paused.any() else np.nan,
        "new voice: mean opening in its pauses": dubbed[paused].mean() if paused.any() else np.nan,
        "new voice: follows it": correlation_per_clip(new[None], dubbed[None])[0],
        "new voice: new mouth's weight": new_weight,
        "new voice: filmed mouth's weight": filmed_weight,
        "new voice: correlation with the filmed mouth": correlation_per_clip(filmed[None], dubbed[None])[0],
    }
    if "own voice" in readings:
        own = one.relative(readings["own voice"])[known]
        found["own voice: follows it"] = correlation_per_clip(filmed[None], own[None])[0]
    return {name: float(value) for name, value in found.items()}


def rendered_clips(count: int, folder: Path) -> list[Path]:
    """People, voices and sentences of the test split as files, in turn in the five languages."""
    paths = []
    for number in range(count):
        language = list(LANGUAGES)[number % len(LANGUAGES)]
        paths.append(folder / f"rendered_{number}_{language}.mp4")
        write_clip(talking_head(number, language, RENDERED_SECONDS, size=RENDERED_SIZE, split="test"), paths[-1])
    return paths


def main() -> None:
    """Prints every clip's figures and, for each choice, their medians; with --json also writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clip", type=Path, nargs="+", help="default, without --rendered: the carried sample scene")
    parser.add_argument("--rendered", type=int, default=0, help="so many clips of people that nothing was trained with")
    parser.add_argument("--seconds", type=float, help="of each clip, from its beginning")
    parser.add_argument("--language", choices=tuple(LANGUAGES), default="en", help="of the synthesized voice")
    parser.add_argument(
        "--reference-mouth", nargs="+", choices=[choice.value for choice in ReferenceChoice],
        default=[SamplerOptions().reference_mouth.value], help="one or more to compare",
    )  # fmt: skip
    parser.add_argument(
        "--mask-grow", nargs="+", type=float, default=[0.0], help="likewise, percent of the crop's width"
    )
    parser.add_argument(
        "--pauses", nargs="+", choices=[behaviour.value for behaviour in PauseBehaviour],
        default=[PauseOptions().behaviour.value], help="likewise, what the mouth does where the voice pauses",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help="where not those that the model recommends")
    parser.add_argument("--cfg", type=float, help="likewise")
    parser.add_argument("--device", default=LoadOptions().device)
    parser.add_argument("--json", type=Path, help="file for the figures of every clip")
    options = parser.parse_args()
    model = load_model(options.model, LoadOptions(device=options.device))
    explicit = {name: value for name in ("steps", "cfg") if (value := getattr(options, name)) is not None}
    # Each option is varied by itself, the others keeping the first of their values.
    mouths, grows, pauses = options.reference_mouth, options.mask_grow, options.pauses
    choices = dict.fromkeys(
        [
            *((mouth, grows[0], pauses[0]) for mouth in mouths),
            *((mouths[0], grow, pauses[0]) for grow in grows),
            *((mouths[0], grows[0], behaviour) for behaviour in pauses),
        ]
    )
    variants = {_name(*choice): _variant(*choice, model=model, explicit=explicit) for choice in choices}
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        clips = [*(options.clip or []), *rendered_clips(options.rendered, Path(folder))] or [SCENE]
        for number, path in enumerate(clips):
            one = subject(path, number, model, options.language, options.seconds)
            for name, variant in variants.items():
                found[name][one.name] = measure(one, model, variant)
                print(f"{one.name}, {name}: {json.dumps(_rounded(found[name][one.name]))}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), "utf-8")
    print(f"\n{model.name}: medians over {len(clips)} clips, and the ends of their 95 % bootstrap intervals")
    for name, by_clip in found.items():
        keys = dict.fromkeys(key for values in by_clip.values() for key in values if key != "frames")
        medians = {key: bootstrap(_known(key, by_clip), digits=3) for key in keys}
        print(f"{name}: {json.dumps(medians)}")


def _name(mouth: str, grow: float, pauses: str) -> str:
    """What a set of options is called in the output."""
    parts = [mouth, f"mask +{grow:g} %" if grow else "", f"pauses {pauses}" if pauses != "model" else ""]
    return ", ".join(part for part in parts if part)


def _variant(mouth: str, grow: float, pauses: str, *, model: LatentSyncModel, explicit: Mapping[str, float]) -> Variant:
    sampler = SamplerOptions(reference_mouth=ReferenceChoice(mouth), mask_grow=grow, **explicit)
    behaviour = PauseOptions(behaviour=PauseBehaviour(pauses))
    return Variant(resolve_quality(sampler, Quality.RECOMMENDED, model, explicit), behaviour)


def _known(key: str, by_clip: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """One figure of the clips that have it: those without sound have none of their own voice."""
    values = np.array([values.get(key, np.nan) for values in by_clip.values()])
    return values[np.isfinite(values)] if np.isfinite(values).any() else values


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(float(value), 3) for key, value in values.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
