"""Checks that this version can be published, and writes the repository's addresses into pyproject.toml.

    python dev/prepare_publishing.py OWNER/NAME TAG

For the publishing workflow, which knows both; the result is not to be committed. [tool.comfy] takes addresses, no
relative paths: the icon's and the banner's depend on where the repository lies, as [project.urls] Repository does.
Needs no package.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {"Icon": "media/icon.png", "Banner": "media/banner.png"}


def main(project: Path, repository: str, tag: str) -> None:
    """Fills in the project file `project` for the GitHub repository `repository` ("owner/name") at `tag`.

    Stops with one sentence where the publisher is empty or the tag isn't the version's.
    """
    text = project.read_text("utf-8")
    if not _value(text, "PublisherId"):
        sys.exit(
            "PublisherId is empty in pyproject.toml ([tool.comfy]); create a publisher at ComfyUI's registry and write "
            "its id there."
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        sys.exit(f"{repository!r} is no GitHub repository; give it as OWNER/NAME.")
    version = _value(text, "version")
    if tag != f"v{version}":
        sys.exit(f"The tag is {tag}, but pyproject.toml has version {version}; tag v{version}, or change the version.")
    text = _replace_line(text, "[project.urls]", f'[project.urls]\nRepository = "https://github.com/{repository}"')
    for field, picture in PICTURES.items():
        address = f"https://raw.githubusercontent.com/{repository}/{tag}/{picture}"
        text = _replace_line(text, f'{field} = ""', f'{field} = "{address}"')
    project.write_text(text, "utf-8")


def _value(text: str, field: str) -> str:
    """The string that the project file gives `field`. Stops where it doesn't once."""
    found = re.findall(rf'^{field} = "(.*)"$', text, re.MULTILINE)
    if len(found) != 1:
        sys.exit(f"pyproject.toml gives {field} {len(found)} times instead of once; restore it.")
    return found[0]


def _replace_line(text: str, line: str, replacement: str) -> str:
    """`text` with its one line `line` replaced. Stops where there isn't exactly one."""
    found = re.findall(rf"^{re.escape(line)}$", text, re.MULTILINE)
    if len(found) != 1:
        sys.exit(f"pyproject.toml has the line {line} {len(found)} times instead of once; restore it.")
    return re.sub(rf"^{re.escape(line)}$", lambda _: replacement, text, flags=re.MULTILINE)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python dev/prepare_publishing.py OWNER/NAME TAG")
    main(ROOT / "pyproject.toml", *sys.argv[1:])
