"""Terraform's commands on one workspace.

python-terraform 0.10 turns options into command lines and offers the commands as methods. Around them it lacks what a
tool needs: it passes no environment of its own, cannot stream, has no time-outs, leaves interrupts to the terminal, and
its ``synchronous`` option ends up on Terraform's command line. So its one entry to the operating system, ``cmd``, is
replaced here; everything else is used as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from python_terraform import IsFlagged, Terraform

from replay.errors import DeployError
from replay.terraform.binary import find_terraform
from replay.terraform.messages import Listener, PlanSummary, failure_line
from replay.terraform.process import run
from replay.terraform.providers import configuration_for
from simulator.files import write_text

LOCK_TIMEOUT: Final = "60s"
INIT_TIMEOUT_S: Final = 900.0
APPLY_TIMEOUT_S: Final = 2400.0


@dataclass(frozen=True)
class Workspace:
    """One root module, and one folder for all that running it leaves behind.

    Nothing is written into ``root``, so workspaces with folders of their own run side by side from one checkout.
    """

    project: Path
    """The checkout; shared downloads lie in its ``build`` folder."""
    root: Path
    folder: Path
    environment: Mapping[str, str | None]
    """Set in, or with None taken out of, this process's environment for Terraform: credentials, endpoint."""
    backend: Mapping[str, str] | None = None
    """Settings of the backend that ``root`` names; None where it is the local one, with its state in ``folder``."""

    @property
    def backend_config(self) -> Mapping[str, str]:
        """What ``terraform init`` is told of the backend."""
        return self.backend if self.backend is not None else {"path": str(self.state.resolve())}

    @property
    def state(self) -> Path:
        """The state file of the local backend."""
        return self.folder / "terraform.tfstate"

    @property
    def log(self) -> Path:
        """Everything that the last command said, as JSON lines."""
        return self.folder / "terraform.log"


class _Driver(Terraform):  # type: ignore[misc]  # python-terraform has no types
    """python-terraform with another way to the operating system."""

    def __init__(
        self, workspace: Workspace, binary: Path, configuration: Path, progress: Callable[[str], None]
    ) -> None:
        super().__init__(working_dir=str(workspace.root), terraform_bin_path=str(binary))
        self._workspace = workspace
        self._progress = progress
        wanted: dict[str, str | None] = {
            **os.environ,
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(configuration),
            "TF_DATA_DIR": str(workspace.folder / "terraform-data"),
            **workspace.environment,
        }
        # Someone's options for commands run by hand would change what ours mean.
        self._environment = {
            name: value
            for name, value in wanted.items()
            if value is not None and name != "TF_WORKSPACE" and not name.startswith("TF_CLI_ARGS")
        }

    def cmd(self, cmd: str, *args: str, timeout_s: float, **options: Any) -> tuple[Listener, str]:
        """Run one command to its end; give what it reported, and its standard output.

        Raises
        ------
        DeployError
            It failed: Terraform's first error, on one line.
        """
        command = self.generate_cmd_string(cmd, *args, **options)
        listener = Listener(self._progress)
        finished = run(
            command,
            cwd=self._workspace.root,
            environment=self._environment,
            timeout_s=timeout_s,
            on_line=listener.line,
        )
        write_text(self._workspace.log, f"{finished.stdout}{finished.stderr}")
        if finished.returncode != 0:
            line = failure_line(cmd, listener.errors(), finished.stderr)
            raise DeployError(f"{line}; all of it: {self._workspace.log}")
        return listener, finished.stdout


class TerraformCli:
    """Init, plan, apply and destroy of one workspace.

    Parameters
    ----------
    workspace
        Where.
    progress
        Gets one line a resource.

    Raises
    ------
    DeployError
        Terraform is missing or too old.
    """

    def __init__(self, workspace: Workspace, progress: Callable[[str], None]) -> None:
        self.workspace = workspace
        workspace.folder.mkdir(parents=True, exist_ok=True)
        configuration = configuration_for(workspace.project, workspace.folder / "terraform.rc")
        self._driver = _Driver(workspace, find_terraform(workspace.project), configuration, progress)

    def init(self) -> bool:
        """Install providers and set the backend; give False where that stands already."""
        data = self.workspace.folder / "terraform-data"
        stamp = data / "tailcast-init"
        fingerprint = self._fingerprint()
        # Providers are links into the shared plugin folder, or into a mirror, which somebody may have cleaned away.
        there = all(provider.exists() for provider in data.glob("providers/*/*/*/*/*"))
        if there and stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint:
            return False
        # Terraform's shared plugin folder does not stand two installations at once.
        with _locked(self.workspace.project / "build" / "terraform-init.lock"):
            self._driver.cmd(
                "init",
                timeout_s=INIT_TIMEOUT_S,
                json=IsFlagged,
                reconfigure=IsFlagged,
                lockfile="readonly",
                backend_config=dict(self.workspace.backend_config),
                input=False,
            )
        write_text(stamp, fingerprint)
        return True

    def plan(self, variables: Path, plan_file: Path, *, destroy: bool = False) -> PlanSummary:
        """Write a plan to ``plan_file`` and give its summary."""
        listener, _ = self._driver.cmd(
            "plan",
            timeout_s=APPLY_TIMEOUT_S,
            json=IsFlagged,
            input=False,
            lock_timeout=LOCK_TIMEOUT,
            var_file=str(variables),
            out=str(plan_file),
            **({"destroy": IsFlagged} if destroy else {}),
        )
        return PlanSummary(tuple(listener.planned))

    def apply(self, variables: Path, *, refresh: bool = True) -> int:
        """Plan and apply in one process; give the number of resources changed.

        Parameters
        ----------
        variables
            A ``.tfvars.json`` file.
        refresh
            False trusts the state: right after another apply it is known to be true.
        """
        listener, _ = self._driver.cmd(
            "apply",
            timeout_s=APPLY_TIMEOUT_S,
            json=IsFlagged,
            auto_approve=IsFlagged,
            input=False,
            lock_timeout=LOCK_TIMEOUT,
            var_file=str(variables),
            refresh=refresh,
        )
        return listener.completed

    def apply_plan(self, plan_file: Path) -> int:
        """Apply a plan as it was shown; give the number of resources changed."""
        listener, _ = self._driver.cmd(
            "apply",
            str(plan_file),
            timeout_s=APPLY_TIMEOUT_S,
            json=IsFlagged,
            input=False,
            lock_timeout=LOCK_TIMEOUT,
        )
        return listener.completed

    def destroy(self, variables: Path) -> int:
        """Destroy all that the state holds; give the number of resources."""
        listener, _ = self._driver.cmd(
            "destroy",
            timeout_s=APPLY_TIMEOUT_S,
            json=IsFlagged,
            auto_approve=IsFlagged,
            input=False,
            lock_timeout=LOCK_TIMEOUT,
            var_file=str(variables),
        )
        return listener.completed

    def _fingerprint(self) -> str:
        """Say on what the result of init depends."""
        digest = hashlib.sha256(json.dumps(dict(self.workspace.backend_config), sort_keys=True).encode())
        modules = self.workspace.project / "terraform" / "modules"
        for path in (*sorted(self.workspace.root.glob("*.tf")), self.workspace.root / ".terraform.lock.hcl"):
            digest.update(path.read_bytes() if path.is_file() else b"")
        # All of a module: any file of it may call another one, which init has to find.
        for path in sorted(modules.glob("*/*.tf")):
            digest.update(path.read_bytes())
        return digest.hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the system takes it back when its holder ends, however that happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
