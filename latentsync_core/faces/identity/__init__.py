"""Face identity: embeddings, and their clustering into persons."""
