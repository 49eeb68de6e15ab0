"""What a job will take: its plan, and the time and memory expected from earlier runs on this machine."""
