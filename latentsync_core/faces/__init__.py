"""Face geometry: find, follow, align, cut out and put back."""
