"""Where a film comes from: the plain text in its container, and signed Content Credentials (C2PA)."""
