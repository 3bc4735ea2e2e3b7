"""What `make terraform-check` finds: a fault in any folder, by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replay.errors import DeployError
from replay.terraform.shared_provider import shared_provider
from scripts.check_terraform import folders, main


def test_the_folders_with_the_longest_tests_come_first_and_none_is_missing(project: Path) -> None:
    found = folders()
    assert {path.name for path in found} >= {"dev", "staging", "prod", "function", "http_api"}
    assert len(found) == len(list((project / "terraform").glob("*/*/main.tf")))
    sizes = [sum(test.stat().st_size for test in path.glob("tests/*.hcl")) for path in found]
    assert sizes == sorted(sizes, reverse=True)


def test_a_folder_that_is_none_is_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["check_terraform", "modules/moon"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "modules/moon: no folder of terraform/ with code; there are environments/dev" in capsys.readouterr().err


def test_a_provider_that_does_not_start_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "terraform-provider-broken"
    broken.write_text("#!/bin/sh\necho cannot >&2\necho start >&2\nexit 3\n")
    broken.chmod(0o755)
    with (
        pytest.raises(DeployError, match="terraform-provider-broken does not start: cannot start"),
        shared_provider(broken, os.environ),
    ):
        pass


def test_the_provider_ends_with_the_block(tmp_path: Path) -> None:
    stand_in = tmp_path / "terraform-provider-standin"
    stand_in.write_text(
        "#!/bin/sh\necho $$ > " + str(tmp_path / "pid") + "\n"
        'echo "TF_REATTACH_PROVIDERS=\'{\\"a\\": 1}\'"\nexec sleep 600\n'
    )
    stand_in.chmod(0o755)
    with shared_provider(stand_in, os.environ) as address:
        assert address == '{"a": 1}'
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
