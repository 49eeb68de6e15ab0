"""The driving voice: read from any file, resampled, mixed, and turned into Whisper features per video frame."""
