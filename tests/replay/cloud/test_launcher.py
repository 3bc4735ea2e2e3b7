"""Starting, finding and ending clouds: nothing stays behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from replay.cli import main
from replay.cloud import CloudConfig, LocalCloud, named
from replay.errors import InputError, LocalCloudError
from tests.replay.cloud.support import deploy, eventually


def alive(pid: int) -> bool:
    return named.process_started(pid) is not None


def children(pid: int) -> list[int]:
    """Every process below one, from /proc."""
    below: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(entry.parent.name)
            below += [child, *children(child)]
    return below


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that nobody else uses."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)


def test_two_clouds_side_by_side_know_nothing_of_each_other(cloud: LocalCloud) -> None:
    with LocalCloud() as other:
        name = deploy(other)
        names = [f["FunctionName"] for f in cloud.client("lambda").list_functions()["Functions"]]

        assert other.endpoint_url != cloud.endpoint_url
        assert name not in names


def test_the_end_leaves_nothing_behind(temporary: Path) -> None:
    with LocalCloud() as cloud:
        name = deploy(cloud)
        cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        processes = [cloud.pid, *children(cloud.pid)]
        assert len(processes) >= 2

    assert not [pid for pid in processes if alive(pid)]
    assert list(temporary.iterdir()) == []


def test_killing_the_parent_ends_the_cloud(temporary: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, time
        from replay.cloud import LocalCloud
        from tests.replay.cloud.support import deploy
        cloud = LocalCloud()
        cloud.start()
        cloud.client("lambda").invoke(FunctionName=deploy(cloud), Payload=b"{}")
        print(cloud.pid, flush=True)
        time.sleep(600)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        processes = [server, *children(server)]
        parent.kill()
        parent.wait()

        eventually(lambda: not [pid for pid in processes if alive(pid)])
        assert list(temporary.iterdir()) == []
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout:
            parent.stdout.close()


def test_a_command_killed_before_its_cloud_is_written_down_leaves_none(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os
        from pathlib import Path
        from replay.cloud import CloudConfig
        from replay.cloud.launcher import start_server
        print(start_server(CloudConfig(), Path({str(tmp_path)!r}), detached=True).process.pid, flush=True)
        os._exit(9)
        """
    )
    parent = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    server = int(parent.stdout)
    try:
        eventually(lambda: not alive(server))
    finally:
        if alive(server):
            os.kill(server, signal.SIGTERM)


def test_killing_the_server_leaves_no_environment(temporary: Path) -> None:
    cloud = LocalCloud()
    cloud.start()
    try:
        name = deploy(cloud)
        cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        processes = children(cloud.pid)
        assert processes

        os.kill(cloud.pid, signal.SIGKILL)

        eventually(lambda: not [pid for pid in processes if alive(pid)])
    finally:
        cloud.stop()
    assert list(temporary.iterdir()) == []


def test_a_taken_port_is_named(cloud: LocalCloud) -> None:
    port = int(cloud.endpoint_url.rpartition(":")[2])

    with pytest.raises(LocalCloudError, match=f"port {port} cannot be taken"):
        LocalCloud(CloudConfig(port=port)).start()


def test_a_profile_that_is_missing_shows_at_the_start() -> None:
    with pytest.raises(LocalCloudError, match="latency profile 'none' is not shipped"):
        LocalCloud(CloudConfig(bedrock_models={"x": "none"})).start()


def test_a_cloud_that_does_not_run_says_so() -> None:
    with pytest.raises(LocalCloudError, match="not running"):
        _ = LocalCloud().endpoint_url


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["cloud", *arguments], catch_exceptions=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    run("down", "--all")


def test_up_status_down(here: Path) -> None:
    started = run("up", "--json", "--seed", "4")
    assert started.exit_code == 0
    document = json.loads(started.stdout)
    again = json.loads(run("up", "--json").stdout)
    assert again["pid"] == document["pid"], "started twice is started once"

    rows = json.loads(run("status", "--json").stdout)
    assert [(row["name"], row["running"]) for row in rows] == [("default", True)]
    assert f"export AWS_ENDPOINT_URL={document['endpoint_url']}" in run("up").stdout

    assert run("down").exit_code == 0
    assert not alive(document["pid"])
    assert run("down").exit_code == 0, "ended twice is ended once"
    assert run("status", "--name", "default").exit_code == 1


def test_a_recycled_process_id_is_not_killed(here: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        state = named.NamedCloud("old", other.pid, "not when it started", "http://127.0.0.1:1", "us-east-1", "x")
        (here / named.STATE_DIR).mkdir(parents=True)
        (here / named.STATE_DIR / "old.json").write_text(json.dumps(state.__dict__))

        assert json.loads(run("status", "--json").stdout)[0]["running"] is False
        run("down", "--name", "old")

        assert other.poll() is None
        assert named.everything() == []
    finally:
        other.kill()
        other.wait()


def test_foreground_ends_with_the_command(here: Path) -> None:
    code = "from replay.cli import main; main()"
    command = [sys.executable, "-c", code, "cloud", "up", "--foreground", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n") or text.count("{") != text.count("}"):
            text += process.stdout.readline()
        pid = json.loads(text)["pid"]
        assert alive(pid)

        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
        assert not alive(pid)
    finally:
        process.kill()
        process.communicate()


def test_foreground_leaves_a_cloud_of_its_name_alone(here: Path) -> None:
    run("up", "--name", "one")
    try:
        known = named.find("one")
        assert known is not None
        before = Path(known.log).read_text()
        result = run("up", "--name", "one", "--foreground")
        assert result.exit_code == 2
        assert "cloud 'one' runs already, at http://127.0.0.1:" in result.stderr
        assert Path(known.log).read_text().startswith(before)
    finally:
        run("down", "--name", "one")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--name", "A B"], "cloud name 'A B'"),
        (["up", "--name", "A B", "--foreground"], "cloud name 'A B'"),
        (["up", "--config", "none.toml"], "none.toml: no such cloud config file"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(here: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_broken_state_file_is_named(here: Path) -> None:
    (here / named.STATE_DIR).mkdir(parents=True)
    file = here / named.STATE_DIR / "bad.json"
    file.write_text("{")
    try:
        with pytest.raises(InputError, match=r"bad\.json: not a state file"):
            named.find("bad")
    finally:
        file.unlink()
