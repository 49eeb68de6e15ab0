"""Who a face belongs to: embeddings, and their clustering into people."""
