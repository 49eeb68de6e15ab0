"""The second training stage, with and without TREPA."""
