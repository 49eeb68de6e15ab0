"""The sliding minimum and the Gaussian blur agree with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latentsync_core.imaging.filters import _gaussian_kernel, gaussian_blur, sliding_minimum


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (3, 2), (1, 1), (40, 39)])
def test_sliding_minimum_is_the_minimum_of_every_window(before, after):
    image = torch.rand(23, 31, generator=torch.Generator().manual_seed(3))
    ours = sliding_minimum(image, before, after)
    for y, x in ((0, 0), (22, 30), (11, 17), (5, 30)):
        window = image[max(y - before, 0) : y + after + 1, max(x - before, 0) : x + after + 1]
        assert ours[y, x] == window.min()


@pytest.mark.parametrize("radius", [1, 3, 5, 21])
def test_gaussian_blur_mirrors_without_the_edge_even_where_the_picture_is_smaller(radius):
    image = torch.rand(13, 9, generator=torch.Generator().manual_seed(4)).double().float()
    kernel = _gaussian_kernel(radius).double().numpy()
    expected = image.double().numpy()
    for axis in (0, 1):
        padding = [(radius, radius) if axis == own else (0, 0) for own in (0, 1)]
        padded = np.pad(expected, padding, mode="reflect")
        expected = np.apply_along_axis(lambda line: np.convolve(line, kernel, mode="valid"), axis, padded)
    np.testing.assert_allclose(gaussian_blur(image, radius).numpy(), expected, atol=1e-5)
