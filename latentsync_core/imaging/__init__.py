"""Rectangles, affine transforms, resampling and filters of images; nothing about faces or video."""
