"""`python -m latentsync_core`: the command line, without the console command that pip installs."""

from .cli.commands import run

if __name__ == "__main__":
    run()
