"""The small image autoencoder."""
