"""Opening media files and running ffmpeg: the one door for every input."""
