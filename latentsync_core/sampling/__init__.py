"""Drawing new face latents: window plans, noise, denoising."""
