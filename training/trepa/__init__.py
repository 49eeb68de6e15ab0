"""The small VideoMAE encoders of TREPA."""
