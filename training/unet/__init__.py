"""The small U-Net's first training stage."""
