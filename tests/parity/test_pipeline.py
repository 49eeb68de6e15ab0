"""The sampler and the whole pipeline give the reference implementation's numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from latentsync_core.compositing.composite_options import CompositeOptions
from latentsync_core.compositing.compositor import soft_mask
from latentsync_core.compositing.rendering import blend_mouth, render
from latentsync_core.faces.alignment.align import align_track, crop_size
from latentsync_core.faces.alignment.align_options import AlignOptions
from latentsync_core.faces.alignment.mouth_mask import mouth_mask
from latentsync_core.faces.face_tracks import FaceTracks
from latentsync_core.faces.limits import TouchLimits
from latentsync_core.faces.tracks import FaceTrack
from latentsync_core.models.noise_schedule import REFERENCE_SCHEDULE
from latentsync_core.models.recommended_settings import REFERENCE_SETTINGS
from latentsync_core.models.reference_mouth import ReferenceMouth
from latentsync_core.models.unet.unet import UNet
from latentsync_core.sampling.denoising.denoise import denoise_window, denoise_windows
from latentsync_core.sampling.sampler import sample_faces
from latentsync_core.sampling.sampler_options import SamplerOptions, WindowOptions
from latentsync_core.sampling.synced_faces import SyncedFaces
from latentsync_core.sampling.timeline import LengthRule, build_timeline
from latentsync_core.sampling.windows import plan_windows
from latentsync_core.video.reading.probing import clip_from_images
from tests.parity.reference_networks import tiny_codec, tiny_unet
from tests.shared_reference import SHARED, needs_shared

REFERENCE = SHARED / "reference" / "pipeline"
COMPACT = Path(__file__).parent / "data" / "pipeline.safetensors"
LONG_RUNS = [pytest.param(20, cfg, marks=pytest.mark.slow) for cfg in (1.0, 1.5, 2.5)]
SEED = 1247


def latent_tolerance(steps: int) -> float:
    return 2e-4 if steps == 4 else 5e-4


@pytest.fixture(scope="module")
def unet() -> UNet:
    return tiny_unet()


WINDOWS = {"w0": slice(0, 16), "w1": slice(16, 20)}  # the reference's, and their frames


def assert_windows_are_the_reference_s(unet: UNet, windows: Sequence[str], steps: int, cfg: float) -> None:
    golden = load_file(COMPACT)
    noise = golden["initial_noise"][0, :, 0]
    expected = golden[f"steps{steps}_g{cfg}.final_latents"][0].transpose(0, 1)
    for window in windows:
        frames = WINDOWS[window]
        audio = golden["whisper_chunks"][frames]
        masked, reference = (golden[f"{window}.{name}_latents"][0].transpose(0, 1) for name in ("masked_image", "ref"))
        mask = golden[f"{window}.mask_latents"][0, 0, 0]
        start = noise.expand(len(audio), *noise.shape)
        drawn = denoise_window(unet, start, mask, masked, reference, audio, steps, cfg)
        torch.testing.assert_close(drawn, expected[frames], rtol=0, atol=latent_tolerance(steps))


@pytest.mark.parametrize(
    ("steps", "cfg"), [(4, 1.0), pytest.param(4, 1.5, marks=pytest.mark.slow), (4, 2.5), *LONG_RUNS]
)
@torch.inference_mode()
def test_denoising_both_windows_gives_the_reference_latents(unet: UNet, steps: int, cfg: float) -> None:
    """Quick: test_twenty_steps_of_the_short_window_give_the_reference_latents, and this one in four steps, without
    guidance and with the strongest."""
    assert_windows_are_the_reference_s(unet, tuple(WINDOWS), steps, cfg)


@torch.inference_mode()
def test_twenty_steps_of_the_short_window_give_the_reference_latents(unet: UNet) -> None:
    assert_windows_are_the_reference_s(unet, ["w1"], 20, 1.5)


@needs_shared
@pytest.mark.parametrize(
    "windows", [pytest.param(("w0", "w1"), marks=pytest.mark.slow), ("w1",)], ids=["both windows", "the short one"]
)
@torch.inference_mode()
def test_reused_features_give_the_latents_of_the_reference_with_deepcache(unet: UNet, windows: tuple[str, ...]) -> None:
    """Quick: test_denoising_both_windows_gives_the_reference_latents for the long window, and this one for the short.

    The reference's noise is known of the long one.
    """
    golden = load_file(REFERENCE / "run_steps20_g1.5_deepcache.safetensors")
    inputs = load_file(REFERENCE / "inputs.safetensors")
    noise = inputs["initial_noise"][0, :, 0]
    drawn, predictions = [], []
    options = SamplerOptions(steps=20, cfg=1.5, reuse_interval=3)
    for window in windows:
        audio = inputs["whisper_chunks"][WINDOWS[window]][None]
        names = ("masked_image", "ref")
        masked, reference = (inputs[f"{window}.{name}_latents"].transpose(1, 2) for name in names)
        mask = inputs[f"{window}.mask_latents"][0, 0, 0]
        start = noise.expand(1, audio.shape[1], *noise.shape)
        drawn += denoise_windows(
            unet, start, mask, masked, reference, audio, options,
            on_step=lambda _step, predicted, *_states: predictions.append(predicted[0].transpose(0, 1)),
        )  # fmt: skip
    for step in range(4) if "w0" in windows else ():
        expected = golden[f"w0.step{step}.noise_pred"].reshape(predictions[step].shape)
        torch.testing.assert_close(predictions[step], expected, rtol=0, atol=latent_tolerance(20))
    frames = torch.cat([torch.arange(20)[WINDOWS[window]] for window in windows])
    expected = golden["final_latents"][0].transpose(0, 1)[frames]
    torch.testing.assert_close(torch.cat(drawn), expected, rtol=0, atol=latent_tolerance(20))


@dataclass
class RecordedVoice:
    """The reference's own audio windows, one per frame at 25 fps, behind an AudioEmbedding's method."""

    chunks: torch.Tensor
    digest: str = "recorded"

    def window(self, times: np.ndarray) -> torch.Tensor:
        return self.chunks[np.round(np.asarray(times) * 25).astype(int)]


@torch.inference_mode()
def run_reference(unet: UNet, chunks: torch.Tensor, steps: int, cfg: float, source_frames: int = 20) -> SyncedFaces:
    """Our pipeline from frames and landmarks on, under the reference preset; an output frame per audio window."""
    frames = np.load(REFERENCE / "frames.npz")["frames"][:source_frames]
    clip = clip_from_images(torch.from_numpy(frames).float() / 255, Fraction(25))
    landmarks = load_file(REFERENCE / "inputs.safetensors")["landmarks_float"].numpy()[:source_frames]
    visible = np.ones(source_frames, dtype=bool)
    track = FaceTrack(
        track_id=0,
        start=0,
        boxes=np.zeros((source_frames, 4), np.float32),
        landmarks=landmarks,
        visible=visible,
        pose=np.zeros((source_frames, 3), np.float32),
        sharpness=np.ones(source_frames, np.float32),
        flip_error=np.zeros(source_frames, np.float32),
        opening=np.zeros(source_frames, np.float32),
        portrait=np.zeros((128, 128, 3), np.uint8),
    )
    faces = FaceTracks(
        clip, (track,), ((0, source_frames),), AlignOptions.reference(), TouchLimits(min_size=0, fade_frames=0)
    )
    transforms = align_track(landmarks, visible, 128, faces.align)
    model = SimpleNamespace(
        unet=unet, codec=tiny_codec(), resolution=128, digest="rule", device="cpu", schedule=REFERENCE_SCHEDULE,
        reference_mouth=ReferenceMouth.FILMED, name="rule", memory_plan=None, make_room=None, notes=(),
        recommended=REFERENCE_SETTINGS,
    )  # fmt: skip
    timeline = build_timeline(clip, len(chunks), LengthRule.PING_PONG)
    options = SamplerOptions.reference_preset(seed=SEED, steps=steps, cfg=cfg)
    return sample_faces(model, faces, transforms, timeline, RecordedVoice(chunks), options)


@pytest.fixture
def reference_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the sampler the reference's own crops.

    Ours may differ in single levels of 8 bits (that is tested with the crops); random networks carry such a level on
    through every later number, where it would hide an error of the sampler's.
    """
    crops = load_file(REFERENCE / "inputs.safetensors")["faces_u8"].float() / 255
    monkeypatch.setattr(
        "latentsync_core.sampling.sampler.crop_face", lambda frame, transform, resolution, device: crops[frame.index]
    )


@needs_shared
@pytest.mark.usefixtures("reference_crops")
@pytest.mark.parametrize(
    ("steps", "cfg"), [(4, 1.5), *(pytest.param(4, cfg, marks=pytest.mark.slow) for cfg in (1.0, 2.5)), *LONG_RUNS]
)
def test_sampling_from_the_reference_s_crops_gives_its_latents(unet: UNet, steps: int, cfg: float) -> None:
    """Quick: this one in four steps with guidance. The others:
    without guidance, Quick: test_frames_in_give_the_reference_s_frames_out;
    in as many steps, Quick: test_twenty_steps_of_the_short_window_give_the_reference_latents;
    with the strongest guidance, Quick: test_denoising_both_windows_gives_the_reference_latents.
    """
    golden = load_file(REFERENCE / f"run_steps{steps}_g{cfg}.safetensors")
    chunks = load_file(REFERENCE / "inputs.safetensors")["whisper_chunks"]
    with run_reference(unet, chunks, steps, cfg).patches as patches:
        expected = golden["final_latents"][0].transpose(0, 1)
        torch.testing.assert_close(patches.get(range(20)), expected, rtol=0, atol=latent_tolerance(steps))


@needs_shared
@pytest.mark.usefixtures("reference_crops")
def test_ping_pong_under_the_reference_rule(unet: UNet) -> None:
    golden = load_file(REFERENCE / "run_loop.safetensors")
    synced = run_reference(unet, golden["whisper_chunks"], 4, 1.5, source_frames=5)
    with synced.patches as patches:
        assert synced.source_index.tolist() == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 4, 3]
        expected = golden["final_latents"][0].transpose(0, 1)
        torch.testing.assert_close(patches.get(range(17)), expected, rtol=0, atol=latent_tolerance(4))


@needs_shared
@pytest.mark.parametrize(("steps", "cfg"), [(4, 1.0), LONG_RUNS[1]])
def test_frames_in_give_the_reference_s_frames_out(unet: UNet, steps: int, cfg: float) -> None:
    """Quick: test_twenty_steps_of_the_short_window_give_the_reference_latents, with guidance."""
    golden = np.load(REFERENCE / f"restored_steps{steps}_g{cfg}.npz")["restored"]
    inputs = load_file(REFERENCE / "inputs.safetensors")
    synced = run_reference(unet, inputs["whisper_chunks"], steps, cfg)
    with synced.patches:
        for index, rendered in enumerate(render(synced, CompositeOptions.reference())):
            frame = rendered.frame
            levels = (frame.rgb() * 255).permute(1, 2, 0).numpy()
            difference = np.abs(np.floor(levels + 1e-3) - golden[index].astype(float))
            roi, *_ = soft_mask(synced.transforms[index], crop_size(128), (frame.width, frame.height))
            box = difference[roi.y0 : roi.y1, roi.x0 : roi.x1]
            assert (difference > 0).sum() == (box > 0).sum(), "nothing outside the box"
            assert box.max() <= 2
            assert (box > 0).mean() <= 0.08
    assert index == 19


@needs_shared
def test_ping_pong_orders_and_windows_are_the_reference_s() -> None:
    for case in json.loads((REFERENCE / "loop_table.json").read_text()):
        clip = clip_from_images(torch.zeros(case["n_video"], 1, 1, 3), Fraction(25))
        order = build_timeline(clip, case["n_chunks"], LengthRule.PING_PONG).source_index.tolist()
        assert order[-len(case["order"]) :] == case["order"]
        windows = plan_windows(np.ones(len(order), dtype=bool), WindowOptions(full_last=False))
        assert [len(window.frames) for window in windows] == case["windows"]


@needs_shared
def test_decoded_and_blended_crops_are_the_reference_s() -> None:
    golden = load_file(REFERENCE / "run_steps4_g1.0.safetensors")
    codec = tiny_codec()
    latents = golden["final_latents"][0].transpose(0, 1)
    with torch.inference_mode():
        decoded = codec.decode(latents)
    torch.testing.assert_close(decoded, golden["decoded"], rtol=0, atol=1e-4)
    inputs = load_file(REFERENCE / "inputs.safetensors")
    source = inputs["faces_u8"][::5].float() / 127.5 - 1
    pasted = blend_mouth(decoded[::5], source, mouth_mask(128).float())
    torch.testing.assert_close(pasted, golden["pasted_every5"], rtol=0, atol=1e-4)
