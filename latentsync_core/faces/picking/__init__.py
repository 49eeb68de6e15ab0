"""What a picker needs to show of a clip's faces: a description, boxes, still frames, and faces to mark."""
