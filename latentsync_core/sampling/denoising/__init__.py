"""The denoising of windows: solvers, audio guidance, and steps that reuse features of earlier ones."""
