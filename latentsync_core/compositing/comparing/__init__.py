"""What a player needs to show a result beside the filmed picture: the filmed frames as a video, and the mouths."""
