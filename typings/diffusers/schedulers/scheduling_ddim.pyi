# Of diffusers' DDIM scheduler, what the engine uses.
from typing import Any

import torch

class DDIMScheduler:
    init_noise_sigma: float
    alphas_cumprod: torch.Tensor
    timesteps: torch.Tensor
    num_inference_steps: int | None
    def __init__(self, **config: Any) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    def step(
        self, model_output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, *, return_dict: bool
    ) -> tuple[torch.Tensor, ...]: ...
