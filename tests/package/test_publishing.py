"""The GitHub workflows, what publishing fills in, and the pictures that the registry shows."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise

import pytest
import yaml
from PIL import Image

from dev.make_icon import draw_icon
from dev.prepare_publishing import PICTURES, main
from tests.installed_tree import project_facts
from tests.shared_reference import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name: str) -> dict:
    """A workflow's contents; YAML 1.1 reads its key `on` as a truth value."""
    found = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8"))
    return {"on" if key is True else key: value for key, value in found.items()}


def every_step(name: str) -> list[dict]:
    return [step for job in workflow(name)["jobs"].values() for step in job.get("steps", ())]


@pytest.fixture
def project(tmp_path):
    """A copy of the project file with a publisher."""
    path = tmp_path / "pyproject.toml"
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    path.write_text(re.sub(r'^PublisherId = ".*"$', 'PublisherId = "somebody"', text, flags=re.MULTILINE), "utf-8")
    return path


def test_the_gate_runs_on_every_system_and_python_that_the_project_file_names():
    facts = project_facts()["project"]
    gate = workflow("test")["jobs"]["gate"]["strategy"]["matrix"]
    assert gate["system"] == ["ubuntu-latest", "windows-latest", "macos-latest"]
    supported = [line.rpartition(" ")[2] for line in facts["classifiers"] if re.search(r":: Python :: 3\.\d+$", line)]
    assert gate["python"] == supported
    assert facts["requires-python"] == f">={supported[0]}"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_read_only_and_know_one_secret(file):
    found = workflow(file.stem)
    assert found["permissions"] == {"contents": "read"}
    uses = [step["uses"] for step in every_step(file.stem) if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"[\w-]+/[\w.-]+@v\d+(\.\d+)*", one) for one in uses), uses
    assert set(re.findall(r"secrets\.(\w+)", file.read_text("utf-8"))) <= {"REGISTRY_ACCESS_TOKEN"}
    for step in every_step(file.stem):
        assert ("uses" in step) != ("run" in step), step


def test_publishing_waits_for_publisher_version_and_gate():
    found = workflow("publish")
    assert found["on"] == {"push": {"tags": ["v*"]}}
    jobs = found["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert "workflow_call" in workflow("test")["on"]
    assert jobs["test"]["needs"] == "facts"
    assert jobs["registry"]["needs"] == "test"
    commands = [step.get("run", "") for step in jobs["registry"]["steps"]]
    prepare = next(number for number, line in enumerate(commands) if "dev/prepare_publishing.py" in line)
    publish = next(number for number, line in enumerate(commands) if "comfy --skip-prompt" in line)
    assert prepare < publish


def test_the_repositorys_addresses_are_filled_in(project):
    version = project_facts()["project"]["version"]
    main(project, "somebody/their-repository", f"v{version}")
    facts = project_facts(project)
    assert facts["project"]["urls"]["Repository"] == "https://github.com/somebody/their-repository"
    assert facts["tool"]["comfy"]["PublisherId"] == "somebody"
    for field, picture in PICTURES.items():
        assert facts["tool"]["comfy"][field].endswith(f"somebody/their-repository/v{version}/{picture}")
        assert (ROOT / picture).is_file()


def test_without_a_publisher_nothing_is_written_and_the_field_is_named(project, tmp_path):
    empty = tmp_path / "empty.toml"
    empty.write_text(project.read_text("utf-8").replace('"somebody"', '""'), "utf-8")
    before = empty.read_bytes()
    with pytest.raises(SystemExit, match=r"PublisherId is empty in pyproject\.toml"):
        main(empty, "somebody/their-repository", "v0.2.0")
    assert empty.read_bytes() == before


@pytest.mark.parametrize(
    ("repository", "tag", "words"),
    [("somebody/their-repository", "v0.0.1", "The tag is v0.0.1"), ("their-repository", "v0.2.0", "OWNER/NAME")],
)
def test_a_wrong_tag_or_repository_is_refused(project, repository, tag, words):
    before = project.read_bytes()
    with pytest.raises(SystemExit, match=words):
        main(project, repository, tag)
    assert project.read_bytes() == before


def test_a_project_file_that_was_filled_in_already_is_refused(project):
    tag = f"v{project_facts()['project']['version']}"
    main(project, "somebody/their-repository", tag)
    again = shutil.copy(project, project.with_name("again.toml"))
    with pytest.raises(SystemExit, match="0 times instead of once"):
        main(again, "somebody/their-repository", tag)


def test_icon_and_banner_have_the_shapes_that_the_registry_takes():
    icon, banner = (Image.open(ROOT / PICTURES[field]) for field in ("Icon", "Banner"))
    assert icon.size == (400, 400)
    assert banner.width * 9 == banner.height * 21
    assert icon.getpixel((0, 0))[3] == 0, "the corners are transparent"


def test_the_icon_is_readable_when_small():
    """At 64 pixels, as lists show it, lips and voice are still apart from the ground and from each other."""
    small = draw_icon(64).convert("RGB")
    column = [small.getpixel((32, y)) for y in range(64)]
    light = [max(color) > 128 for color in column]
    assert sum(after and not before for before, after in pairwise(light)) == 3
