"""`python -m latentsync_core`: the command line."""

from .cli.commands import run

if __name__ == "__main__":
    run()
