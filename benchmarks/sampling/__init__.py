"""What sampling costs: operations, seconds and memory, beside the official code where a checkout of it is given."""
