"""Where a film comes from: the plain text in its container."""
