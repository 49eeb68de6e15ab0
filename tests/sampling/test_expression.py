"""Expression scales how far the mouth moves: Nano's moves less below 1 and more above, and 1 changes nothing."""

from __future__ import annotations

import pytest
import torch

from latentsync_core.audio.features import embed_audio
from latentsync_core.audio.source import load_audio
from latentsync_core.errors import OptionError
from latentsync_core.faces.find import find_faces
from latentsync_core.models.loading.untrained import untrained_model
from latentsync_core.models.loading.weights import load_model
from latentsync_core.pipeline import sample
from latentsync_core.sample_scene import SCENE, VOICE
from latentsync_core.sampling.denoising.denoise import denoise_window
from latentsync_core.sampling.sampler_options import MAX_EXPRESSION, SamplerOptions
from latentsync_core.video.reading.probing import probe
from tests.one_thread import one_thread  # noqa: F401
from training.meter.network import measure_openings

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = range(12, 28)  # of the scene: the voice begins


def test_guidance_below_one_goes_towards_the_prediction_without_audio():
    model = untrained_model(resolution=64)
    generator = torch.Generator().manual_seed(1)
    noise, masked, reference = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(3))
    audio = torch.randn(2, model.audio_tokens, model.unet.config.audio_width, generator=generator)

    def prediction(cfg: float, audio: torch.Tensor = audio) -> torch.Tensor:
        seen = []
        with torch.inference_mode():
            denoise_window(
                model.unet, noise, torch.ones(8, 8), masked, reference, audio, 1, cfg,
                on_step=lambda _step, predicted, *_: seen.append(predicted),
            )  # fmt: skip
        return seen[0]

    without, with_audio = prediction(1.0, torch.zeros_like(audio)), prediction(1.0)
    assert (without - with_audio).abs().max() > 1e-3
    for cfg in (0.0, 0.25, 3.0):
        torch.testing.assert_close(prediction(cfg), torch.lerp(without, with_audio, cfg), rtol=0, atol=1e-4)


def test_an_expression_of_one_is_the_guidance_itself_to_the_bit():
    assert SamplerOptions(cfg=1.7).guidance_at(0) == 1.7
    assert SamplerOptions(cfg=1.0).guidance_at(0) == 1.0
    assert SamplerOptions(cfg=1.5, expression=0.5).guidance_at(0) == 0.75


@pytest.mark.parametrize("expression", [-0.1, MAX_EXPRESSION + 0.1, float("nan"), float("inf")])
def test_an_expression_out_of_range_is_refused_with_its_value(expression):
    with pytest.raises(OptionError, match=f"expression is {expression}; use 0"):
        SamplerOptions(expression=expression)


def test_the_mouth_moves_more_with_every_strength():
    model = load_model("nano")
    clip = probe(SCENE).subclip(FRAMES.start, FRAMES.stop)
    faces = find_faces(clip)
    spoken = torch.cat(list(load_audio(VOICE).mono16k_blocks()))[FRAMES.start * 640 :]  # 640 samples a frame
    voice = embed_audio(load_audio({"waveform": spoken[None, None], "sample_rate": 16000}), model.whisper)
    motion = []
    for expression in (0.25, 1.0, 2.0):
        options = SamplerOptions(steps=1, cfg=1.25, expression=expression)
        with sample(model, faces, voice, options).patches as patches:
            drawn = model.codec.decode(patches.get(list(range(len(FRAMES)))))
        motion.append(measure_openings(drawn / 2 + 0.5).std())
    assert motion == sorted(motion)
    assert motion[-1] > 1.5 * motion[0]
