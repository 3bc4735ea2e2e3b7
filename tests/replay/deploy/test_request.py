"""What may be asked of a deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from replay.cli import main
from replay.deploy import DeployRequest, default_state_dir, describe
from replay.deploy.pins import VARIABLES_FILE
from replay.deploy.state import STATE_FILE, FolderState
from replay.deploy.steps import wants_streaming
from replay.errors import InputError
from replay.project import find_project


def test_an_unknown_environment_names_those_there_are(project: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"env='moon'.*known environments: dev"):
        DeployRequest("moon", "baseline", project, tmp_path)


def test_an_unknown_variant_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="variant='canary' is not one of baseline, optimized"):
        DeployRequest("dev", "canary", project, tmp_path)  # type: ignore[arg-type]


def test_variables_of_the_deployments_own_are_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="variable 'baseline_version' is set by the deployment itself"):
        DeployRequest("dev", "baseline", project, tmp_path, variables={"baseline_version": "3"})


def test_each_cloud_has_a_state_folder_of_its_own(tmp_path: Path) -> None:
    folders = {
        default_state_dir(tmp_path, "dev", endpoint)
        for endpoint in (None, "http://127.0.0.1:5000", "http://127.0.0.1:5001")
    }
    assert len(folders) == 3


def test_the_project_is_found_from_within_and_only_there(project: Path, tmp_path: Path) -> None:
    assert find_project(project / "terraform" / "modules") == project
    with pytest.raises(InputError, match="not in a tailcast checkout"):
        find_project(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["deploy"], "--variant is missing; give one of baseline, optimized"),
        (["deploy", "--variant", "baseline", "--env", "moon"], "env='moon'"),
        (["deploy", "--variant", "baseline", "--promote"], "goes with a deployment, not with --promote"),
        (["deploy", "--variant", "baseline", "--var", "=3"], "--var '=3' is not NAME=VALUE"),
        (["deploy", "--variant", "baseline", "--var", "variant=x", "--yes"], "variable 'variant' is set by"),
        (["deploy", "--variant", "optimized", "--yes"], "there is no baseline yet"),
        (["deploy", "--variant", "baseline", "--yes", "--endpoint-url", "127.0.0.1:5000"], "is not an address such as"),
        (["deploy", "--variant", "baseline", "--yes", "--endpoint-url", "http://h:x"], "is not an address such as"),
        (["deploy", "--promote", "--yes"], "no candidate to promote"),
        (["package", "nothing"], "is 'nothing' the name of a folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(project: Path, tmp_path: Path, arguments: list[str], line: str) -> None:
    state = [] if arguments[0] == "package" else ["--state-dir", str(tmp_path / "state")]
    result = CliRunner().invoke(main, [*arguments, *state, "--project", str(project)])
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_shell_that_is_pointed_at_a_local_cloud_deploys_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with every other command; on AWS's own state folder, Terraform would take what stands on AWS for gone."""
    asked: list[DeployRequest] = []

    def refuse(request: DeployRequest) -> NoReturn:
        asked.append(request)
        raise InputError("enough")

    monkeypatch.setattr("replay.cli.deploy.run_deploy", refuse)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    result = CliRunner().invoke(main, ["deploy", "--variant", "baseline", "--yes", "--project", str(project)])
    assert result.exit_code == 2
    assert [(each.endpoint_url, each.state_dir.name) for each in asked] == [
        ("http://127.0.0.1:5000", "dev-127.0.0.1-5000")
    ]


def test_package_prints_json(project: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["package", "--project", str(project), "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert Path(document["path"]) == tmp_path / "inference.zip"
    assert document["handler"] == "functions.inference.handler.handle"


def test_nothing_to_destroy_is_no_error(project: Path, tmp_path: Path) -> None:
    arguments = ["deploy", "--destroy", "--yes", "--json", "--state-dir", str(tmp_path), "--project", str(project)]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"destroyed": 0})


@pytest.mark.parametrize(
    ("tfvars", "variables", "wanted"),
    [
        ("", {}, False),
        ("streaming = { enabled = true }\n", {}, True),
        ('other = 1\n\nstreaming = {\n  callers = ["123456789012"]\n  enabled = true\n}\n', {}, True),
        ("streaming = { enabled = false }\ncache = { enabled = true }\n", {}, False),
        ("# streaming = { enabled = true }\n", {}, False),
        ("", {"streaming": {"enabled": True}}, True),
        ("streaming = { enabled = true }\n", {"streaming": {"enabled": False}}, False),
    ],
)
def test_the_streaming_function_is_packaged_where_it_is_wanted(
    tmp_path: Path, tfvars: str, variables: dict[str, Any], wanted: bool
) -> None:
    root = tmp_path / "terraform" / "environments" / "dev"
    root.mkdir(parents=True)
    (root / "main.tf").touch()
    (root / "terraform.tfvars").write_text(tfvars)
    assert wants_streaming(DeployRequest("dev", "baseline", tmp_path, tmp_path, variables=variables)) is wanted


def test_what_stands_is_told_without_terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tailcast canary` asks on machines that never deploy."""
    root = tmp_path / "terraform" / "environments" / "dev"
    root.mkdir(parents=True)
    (root / "main.tf").touch()
    request = DeployRequest(env="dev", variant="baseline", project=tmp_path, state_dir=tmp_path / "state")
    outputs: dict[str, Any] = {
        "region": "eu-west-1",
        "function_name": "tailcast-dev-inference",
        "api_id": "a1",
        "api_endpoint": "https://a1.example.com",
        "log_group_name": "/aws/lambda/tailcast-dev-inference",
        "versions": {"baseline": "7"},
        "alias_names": {"live": "live"},
        "models": {},
        "provisioned_versions": {},
    }
    state = FolderState(request.state_dir)
    request.state_dir.mkdir()
    state.write(STATE_FILE, {"outputs": {name: {"value": value} for name, value in outputs.items()}})
    state.write(VARIABLES_FILE, {"variant": "baseline"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe(request).versions == {"baseline": "7"}
