"""Trains the small U-Net's second stage: ``python -m training.stage2.train --minutes 60`` writes its weights.

The reference's recipe (Li et al. 2024, https://arxiv.org/abs/2412.09262, sections 3.2 and 3.3): beside the first
stage's error, the clean latents that a prediction leads to in one step are decoded, and the crops are compared with the
true ones: by a perceptual distance of the lower half, by SyncNet, and by TREPA. The weights of sync and TREPA are those
of the reference's second stage.

It differs in eight things. The perceptual distance uses the autoencoder's own features, not VGG's, and weighs more. The
pixels' absolute error is a loss, too, and so is that of their means over patches, as a crop has to match its
surroundings. The opening and its deviation within a window are read off the pictures (`opening_reader.py`), as least
squares in latents lead to pictures that lie between mouths. Half of the windows show a clip recoloured or mirrored, as
filmed skins differ from drawn ones. Beside each window comes one of the first stage in another appearance, so that the
network doesn't unlearn what no drawn person shows. Diffusion steps are the first stage's, so that the losses see what
few steps draw. SyncNet doesn't judge windows without audio. All of the network learns, with ``--parts attention`` only
what the reference's second stage trains, motion modules and attention. ``--trepa 0`` leaves TREPA out; the windows,
their noise and all else stay the same for the same seed.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import PartialState
from torch import Tensor, nn

from latentsync_core.evaluation.syncnet import SyncNet, load_syncnet, lower_halves, sync_loss
from latentsync_core.models.vae import SCALING_FACTOR, DiffusersCodec
from latentsync_core.trepa.loss import trepa_loss
from latentsync_core.trepa.video_encoder import VideoEncoder, load_video_encoder

from .. import loop, paths
from ..paths import CACHE
from ..perceptual import PerceptualDistance, lower_half
from ..syncnet import train as train_syncnet
from ..syncnet.data import FACE_SIZE
from ..takes import load_takes
from ..trepa import train as train_trepa
from ..unet.diffusion import clean_estimate
from ..unet.features import Features, features
from ..unet.low_frequency import PATCH
from ..unet.mouth_attenuation import GAIN, attenuate_mouth
from ..unet.opening_probe import OpeningProbe, load_or_train_opening_probe, opening_probe_path
from ..unet.train import OPENING_DEVIATION, build, compute_loss, fold_channel_rms, load, sample_windows, save
from ..unet.train import WEIGHTS as STAGE_ONE
from ..vae.train import WEIGHTS as VAE_WEIGHTS
from ..vae.train import load as load_vae
from .data import Stage2Batch, Stage2Clips
from .opening_reader import OpeningReader, load_or_train_opening_reader

WEIGHTS = paths.WEIGHTS / "stage2.safetensors"
RUN = paths.RUNS / "stage2"
TRAINED_PARTS = {
    "all": ("",),
    "attention": ("motion_modules.", "attentions."),
}  # in the names of the weights that learn
LEARNING_RATE = 2e-4
AVERAGING = 0.99
APPEARANCES = 2  # of each clip
VARIED_SHARE = 0.7  # of the first stage's windows have latents that no drawn person has


@dataclass(frozen=True)
class LossWeights:
    """What each loss weighs beside the first stage's error; nothing is computed for one that weighs nothing."""

    pixels: float = 1.0
    patches: float = 2.0
    perceptual: float = 2.0
    sync: float = 0.05
    trepa: float = 10.0
    opening: float = 0.1  # relative to the openings' variance, as `spread`
    spread: float = 1.0

    @property
    def by_name(self) -> dict[str, float]:
        """As `compute_losses` and `train` name them; the first stage's errors weigh 1."""
        return {"prediction": 1.0, "varied": 1.0, **dataclasses.asdict(self)}


class LossNetworks:
    """The fixed networks that the drawn pictures are held against, and the decoder that they are drawn by."""

    def __init__(
        self, codec: DiffusersCodec, syncnet: SyncNet, encoder: VideoEncoder, opening_reader: OpeningReader
    ) -> None:
        self.vae = codec.vae.to(memory_format=torch.channels_last)  # a third less time on a CPU
        self.perceptual_distance = PerceptualDistance(self.vae)
        self.syncnet = syncnet.eval().requires_grad_(False)
        self.encoder = encoder.eval().requires_grad_(False)
        self.opening_reader = opening_reader.eval().requires_grad_(False)

    @classmethod
    def of_files(
        cls,
        opening_reader: OpeningReader,
        vae: Path = VAE_WEIGHTS,
        syncnet: Path = train_syncnet.WEIGHTS,
        encoder: Path = train_trepa.WEIGHTS["loss"],
    ) -> LossNetworks:
        """Loads the others, in float32. Raises ModelError for a file of another kind."""
        return cls(load_vae(vae), load_syncnet(syncnet), load_video_encoder(encoder), opening_reader)

    def to(self, device: torch.device) -> LossNetworks:
        for network in (self.vae, self.syncnet, self.encoder, self.opening_reader):
            network.to(device)
        return self

    def losses(self, clean: Tensor, batch: Stage2Batch, weights: LossWeights) -> dict[str, Tensor]:
        """The losses that weigh anything, of foreseen clean latents (b, 4, 16, 16, 16); gradients flow to these."""
        seen = self._decode(clean)
        pictures = self._true_pictures(batch)
        true = pictures.transpose(1, 2).flatten(0, 1)
        found = {}
        if weights.pixels:
            found["pixels"] = (seen - true).abs().mean()
        if weights.patches:
            found["patches"] = F.avg_pool2d(seen - true, PATCH).abs().mean()
        if weights.perceptual:
            found["perceptual"] = self.perceptual_distance(lower_half(seen), lower_half(true)).mean()
        shape = (len(clean), clean.shape[2])
        if weights.opening or weights.spread:
            # What the reader misreads on the true picture it misreads here, too: it isn't asked for the true opening.
            read, wanted = (self.opening_reader(pictures).unflatten(0, shape) for pictures in (seen, true))
            if weights.opening:
                found["opening"] = ((read - wanted) / OPENING_DEVIATION).square().mean()
            if weights.spread:
                found["spread"] = ((read.std(1) - wanted.std(1)) / OPENING_DEVIATION).square().mean()
        clips = seen.unflatten(0, shape)  # (b f) c h w -> b f c h w
        if weights.sync:
            found["sync"] = self._sync(clips, batch)
        if weights.trepa:
            found["trepa"] = trepa_loss(self.encoder, clips.transpose(1, 2), pictures)
        return found

    def _decode(self, latents: Tensor) -> Tensor:
        """The pictures (b f, 3, 128, 128) of scaled latents (b, 4, f, 16, 16)."""
        frames = latents.transpose(1, 2).flatten(0, 1)  # b c f h w -> (b f) c h w
        frames = (frames / SCALING_FACTOR).contiguous(memory_format=torch.channels_last)
        with loop.fast_autocast(frames.device):
            return self.vae.decode(frames).sample.float()

    def _true_pictures(self, batch: Stage2Batch) -> Tensor:
        """The batch's, those that aren't kept decoded from their latents: the autoencoder loses next to nothing."""
        missing = batch.pictures.isnan().flatten(1).any(1)
        if not missing.any():
            return batch.pictures
        with torch.no_grad():
            decoded = self._decode(batch.windows.clean[missing])
        pictures = batch.pictures.clone()
        pictures[missing] = decoded.unflatten(0, (-1, batch.pictures.shape[2])).transpose(1, 2)
        return pictures

    def _sync(self, clips: Tensor, batch: Stage2Batch) -> Tensor:
        """The sync loss of the windows that have audio; 0 where none has."""
        has_audio = batch.has_audio
        if not has_audio.any():
            return clips.new_zeros(())
        small = F.interpolate(clips[has_audio].flatten(0, 1), (FACE_SIZE, FACE_SIZE), mode="area")
        faces = lower_halves(small.unflatten(0, (-1, clips.shape[1])))
        video_embeddings, audio_embeddings = self.syncnet(faces, batch.mels[has_audio])
        return sync_loss(video_embeddings, audio_embeddings, torch.ones(len(video_embeddings)))


def compute_losses(
    unet: nn.Module,
    loss_networks: LossNetworks,
    batch: Stage2Batch,
    weights: LossWeights,
    probe: OpeningProbe | None = None,
) -> dict[str, Tensor]:
    """Every loss of these windows by itself; that of the prediction is the first stage's, the opening's included."""
    captured = {}

    def recording_unet(sample: Tensor, steps: Tensor, audio: Tensor) -> Tensor:
        # torch's CPU kernels crash in the backward pass where neither the input nor the first weights have a gradient.
        sample = sample.detach().requires_grad_()
        predicted = unet(sample, steps, audio).float()
        captured["clean"] = clean_estimate(sample[:, :4].detach(), predicted, steps)
        return predicted

    prediction, _ = compute_loss(recording_unet, batch.windows, probe)
    return {"prediction": prediction, **loss_networks.losses(captured["clean"], batch, weights)}


def freeze_except_trained(unet: nn.Module, parts: str = "all") -> nn.Module:
    """The same network, of which only the chosen one of TRAINED_PARTS has gradients."""
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(any(part in name for part in TRAINED_PARTS[parts]))
    return unet


def initial_unet(start: Mapping[str, Tensor], channel_rms: Tensor, seed: int = 0, parts: str = "all") -> nn.Module:
    """The network with the first stage's weights, for states divided by `channel_rms`, as the second begins with it."""
    unet = build(seed)
    unet.load_state_dict(fold_channel_rms(start, 1 / channel_rms))
    return freeze_except_trained(unet, parts)


def train(
    clips: Stage2Clips,
    loss_networks: LossNetworks,
    start: Mapping[str, Tensor],
    budget: loop.Budget,
    weights: LossWeights = LossWeights(),
    run: Path | None = None,
    count: int = 1,
    parts: str = "all",
    stop_after: int | None = None,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
    on_weights: Callable[[dict[str, Tensor]], None] | None = None,
    probe: OpeningProbe | None = None,
    first_stage: Features | None = None,
) -> dict[str, Tensor]:
    """Trains the first stage's weights `start` on `count` windows a step; returns the averaged ones.

    Without a `probe` the opening in latents is no loss by itself. With `first_stage`, each step also trains on
    `count` of its windows, with the first stage's loss. Start and result read Whisper's states as they are; see
    `unet.train.fold_channel_rms`. The rest is `loop.fit`'s.
    """

    def loss_at(
        unet: nn.Module, step: int, fraction_done: float, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        batch = clips.batch(step, budget.seed, count).share(PartialState()).to(device)
        found = compute_losses(unet, loss_networks.to(device), batch, weights, probe)
        if first_stage is not None:
            windows = sample_windows(first_stage, step, budget.seed, count, clips.channel_rms, VARIED_SHARE)
            found["varied"], _ = compute_loss(unet, windows.share(PartialState()).to(device), probe)
        weighed = sum(weights.by_name[name] * loss for name, loss in found.items())
        return weighed, {name: loss.item() for name, loss in found.items()}

    def write(state: dict[str, Tensor]) -> None:
        on_weights(fold_channel_rms(state, clips.channel_rms))

    unet = initial_unet(start, clips.channel_rms, budget.seed, parts)
    state = loop.fit(unet, loss_at, budget, run, None, stop_after, on_progress, write if on_weights else None)
    return fold_channel_rms(state, clips.channel_rms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, RUN, minutes=60, learning_rate=LEARNING_RATE)
    parser.add_argument("--clips", type=int, default=1400, help="drawn clips to use, at most")
    parser.add_argument("--appearances", type=int, default=APPEARANCES, help="of each clip")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the drawn clips and their features")
    parser.add_argument("--vae", type=Path, default=VAE_WEIGHTS)
    parser.add_argument("--syncnet", type=Path, default=train_syncnet.WEIGHTS)
    parser.add_argument("--encoder", type=Path, default=train_trepa.WEIGHTS["loss"], help="of TREPA")
    parser.add_argument("--pixels", type=float, default=LossWeights.pixels, help="weight of the loss; so the next")
    parser.add_argument("--patches", type=float, default=LossWeights.patches)
    parser.add_argument("--perceptual", type=float, default=LossWeights.perceptual)
    parser.add_argument("--sync", type=float, default=LossWeights.sync)
    parser.add_argument("--trepa", type=float, default=LossWeights.trepa)
    parser.add_argument("--opening", type=float, default=LossWeights.opening)
    parser.add_argument("--spread", type=float, default=LossWeights.spread)
    parser.add_argument("--parts", choices=tuple(TRAINED_PARTS), default="all", help="of the network that learn")
    parser.add_argument("--mouth-gain", type=float, default=GAIN, help="see unet/mouth_attenuation.py")
    parser.add_argument("--batch", type=int, default=1, help="windows of a step, of all processes together")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.set_defaults(start=STAGE_ONE)
    options = parser.parse_args()
    budget = loop.budget_from(options, AVERAGING)
    drawn = load_takes(options.clips, options.cache)
    seen = features(options.clips, options.cache, options.vae, options.appearances)
    seen = attenuate_mouth(seen, drawn.waveforms, options.mouth_gain)
    clips = Stage2Clips(seen, drawn)
    loop.logger.info("%d clips", len(clips))
    reader = load_or_train_opening_reader(drawn, options.cache)
    loss_networks = LossNetworks.of_files(reader, options.vae, options.syncnet, options.encoder)
    weights = LossWeights(**{field.name: getattr(options, field.name) for field in dataclasses.fields(LossWeights)})
    probe = load_or_train_opening_probe(seen, opening_probe_path(seen, options.cache, options.vae))
    start = load(options.start).state_dict()
    train(
        clips, loss_networks, start, budget, weights, options.run, options.batch, options.parts,
        on_progress=loop.reporter(), on_weights=lambda state: save(state, options.out), probe=probe,
        first_stage=seen,
    )  # fmt: skip


if __name__ == "__main__":
    main()
