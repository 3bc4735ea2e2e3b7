"""The steps of a deployment.

One deployment is two applies. The first brings the function to the variant's configuration and publishes a version; the
second pins it: provisioned concurrency on the version, then the alias. They cannot be one, because Terraform must know
the version's number to plan a resource for it (see terraform/modules/function). The pin is written to disk between the
two, so a deployment that was killed anywhere is finished by running it again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from replay.deploy.bucket import BucketState
from replay.deploy.configuration import with_s3_backend
from replay.deploy.model import VARIANTS, Deployment, DeployRequest
from replay.deploy.pins import PINS_FILE, VARIABLES_FILE, Pin, Pins, parse_pins, to_document
from replay.deploy.sharing import bucket_of, shared_paths
from replay.deploy.state import STATE_FILE, DeploymentState, FolderState, folder_lock, to_json
from replay.deploy.target import Target
from replay.errors import DeployError, InputError
from replay.package import Package, build_package
from replay.terraform import TerraformCli, Workspace
from simulator.files import write_text

FUNCTION = "inference"
AUTHORIZER = "authorizer"
STREAM = "stream"
_PACKAGE_VARIABLES = {AUTHORIZER: "authorizer_package", STREAM: "streaming_package"}
_STREAMING_ENABLED = re.compile(r'^\s*"?streaming"?\s*[=:]\s*\{[^}]*?"?enabled"?\s*[=:]\s*true', re.MULTILINE)


def deploy(request: DeployRequest) -> Deployment:
    """Package the function, publish it as ``request.variant``, and pin that version.

    The other variant keeps its version. Running it again with nothing changed changes nothing.

    Raises
    ------
    InputError
        The candidate is deployed before a baseline, or the state folder belongs to another cloud.
    DeployError
        Packaging or Terraform failed, the plan was declined, or another deployment works in the state folder.
    CloudError
        The cloud does not answer.
    """
    with _session(request, f"deploy {request.variant}") as session:
        session.check()
        packages = {}
        for function in (FUNCTION, AUTHORIZER, *([STREAM] if wants_streaming(request) else [])):
            package = build_package(function, project=request.project, out_dir=request.state_dir / "package")
            request.progress(
                f"packaged {function}: {package.size_bytes / 1024**2:.1f} MiB, sha256 {package.sha256[:12]}"
            )
            packages[function] = package
        return session.deploy(packages)


def promote(request: DeployRequest) -> Deployment:
    """Make the candidate's version the baseline as well.

    ``live`` is left as it is. The old baseline keeps its provisioned concurrency for as long as ``live`` routes to it;
    a promotion (again) after the shift releases it.

    Raises
    ------
    InputError
        There is no candidate to promote.
    DeployError, CloudError
        As :func:`deploy`.
    """
    with _session(request, "promote") as session:
        return session.promote()


def describe(request: DeployRequest) -> Deployment:
    """Say what stands, from the state alone; nothing is changed.

    Raises
    ------
    DeployError
        Nothing was deployed from the state folder, or another deployment works in it.
    """
    with _session(request, None) as session:
        if session.state.read(VARIABLES_FILE) is None:
            raise DeployError(
                f"{session.state.place}: nothing was deployed from here; tailcast deploy --env {request.env}"
            )
        return session.describe()


def destroy(request: DeployRequest) -> int:
    """Destroy everything that the state folder knows of; give the number of resources.

    Raises
    ------
    DeployError
        Terraform failed, or the plan was declined.
    """
    with _session(request, "destroy") as session:
        return session.destroy()


@contextmanager
def _session(request: DeployRequest, doing: str | None) -> Iterator[_Session]:
    """Hold the folder and, unless nothing is changed (``doing`` None), what is shared."""
    with folder_lock(request.state_dir):
        if request.state_bucket is None:
            yield _Session(request, FolderState(request.state_dir.resolve()), None)
            return
        state = bucket_of(request)
        left = request.state_dir / STATE_FILE
        if left.is_file():
            raise InputError(f"{left}: a state lies here; bring it to {state.place} with --migrate-state first")
        region = state.region()
        with state.hold(doing) if doing else nullcontext():
            yield _Session(request, state, region)


class _Session:
    """One deployment in progress."""

    def __init__(self, request: DeployRequest, state: DeploymentState, bucket_region: str | None) -> None:
        self.request = request
        self.folder = request.state_dir.resolve()
        self.state = state
        self.target = Target(request.endpoint_url)
        self.pins = parse_pins(state.read(PINS_FILE), self.target.name, state.place)
        self.bucket_region = bucket_region
        self.variables_file = self.folder / VARIABLES_FILE
        self.changes = 0

    @cached_property
    def terraform(self) -> TerraformCli:
        """Terraform in this folder. Made when it is needed: whoever only asks what stands need not have it."""
        request, state = self.request, self.state
        project, root, backend = request.project.resolve(), request.root.resolve(), None
        if isinstance(state, BucketState) and self.bucket_region is not None:
            root = with_s3_backend(project, request.env, self.folder)
            backend = {
                "bucket": state.bucket,
                "key": state.state_key,
                "region": self.bucket_region,
                "use_lockfile": "true",
                **({"use_path_style": "true"} if request.endpoint_url else {}),
            }
        workspace = Workspace(project, root, self.folder, self.target.environment(), backend)
        return TerraformCli(workspace, request.progress)

    def check(self) -> None:
        self.target.check()
        self._forget_what_is_gone()
        if self.request.variant == "optimized" and not self.pins.version("baseline"):
            raise InputError("variant='optimized': there is no baseline yet; deploy --variant baseline first")

    def deploy(self, packages: Mapping[str, Package]) -> Deployment:
        request = self.request
        variables = self._variables(packages)
        fingerprint = self._fingerprint(variables)
        pinned = self.pins.pins.get(request.variant)
        if pinned and pinned.fingerprint == fingerprint and self.pins.latest != request.variant:
            # $LATEST has the other variant's configuration meanwhile. To bring this one's back would publish a second
            # version of what stands already.
            request.progress(f"{request.variant} is version {pinned.version} already")
            self._say_what_waits(variables)
            return self._deployment()
        self.terraform.init()
        self.pins = replace(self.pins, latest=request.variant)
        self._apply(variables, f"and then pins the published version as {request.variant}")
        published = str(self.state.outputs()["published_version"])
        if pinned is None or pinned.version != published:
            self.pins = self.pins.with_pin(request.variant, Pin(published, fingerprint))
            self._write_pins()
            request.progress(f"published version {published}; pinning it as {request.variant}")
            self._apply_pins(variables)
        elif pinned.fingerprint != fingerprint:
            self.pins = self.pins.with_pin(request.variant, Pin(published, fingerprint))
        self._write_pins()
        return self._deployment()

    def promote(self) -> Deployment:
        candidate = self.pins.pins.get("optimized")
        variables = self.state.read(VARIABLES_FILE)
        if candidate is None or variables is None:
            raise InputError(f"{self.state.place}: no candidate to promote; deploy --variant optimized first")
        applied = self.state.outputs().get("versions", {}).get("baseline")
        if self.pins.version("baseline") == candidate.version == applied:
            self.request.progress(f"baseline is version {candidate.version} already")
            if self._pin_variables(self.state.outputs()).items() <= variables.items():
                return self._deployment()
        self.terraform.init()
        # The fingerprint stays the candidate's: a later `deploy --variant baseline` publishes what baseline then means.
        self.pins = self.pins.with_pin("baseline", candidate)
        self._confirm_plan({**variables, **self._pin_variables(self.state.outputs())}, "")
        self._write_pins()
        self._apply_pins(variables, refresh=True)
        return self._deployment()

    def describe(self) -> Deployment:
        return self._deployment()

    def destroy(self) -> int:
        variables = self.state.read(VARIABLES_FILE)
        if variables is None:
            self.request.progress("nothing was deployed from here")
            return 0
        write_text(self.variables_file, to_json(variables))
        self.terraform.init()
        if self.request.confirm is not None:
            plan = self.terraform.plan(self.variables_file, self.folder / "destroy.tfplan", destroy=True)
            self._ask(str(plan))
        count = self.terraform.destroy(self.variables_file)
        for name in (PINS_FILE, VARIABLES_FILE):
            self.state.remove(name)
        self.variables_file.unlink(missing_ok=True)
        return count

    def _variables(self, packages: Mapping[str, Package]) -> dict[str, Any]:
        """Give all of Terraform's variables except the pins."""
        request = self.request
        package = packages[FUNCTION]
        variables: dict[str, Any] = {
            **request.variables,
            **({"region": request.region} if request.region else {}),
            "variant": request.variant,
            "package_path": str(package.path.resolve()),
            "package_base64sha256": package.base64sha256,
            "handler": package.handler,
            "runtime": f"python{package.python}",
            **{
                variable: {
                    "path": str(packages[function].path.resolve()),
                    "base64sha256": packages[function].base64sha256,
                    "handler": packages[function].handler,
                }
                for function, variable in _PACKAGE_VARIABLES.items()
                if function in packages
            },
        }
        return variables if request.state_bucket is None else shared_paths(variables, self.folder, request.env)

    def _pin_variables(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Give the pins as variables. A version that live still routes to keeps its environments.

        What autoscaling has made of a version is handed in as well, so that an apply does not undo it.
        """
        routed: set[str] | None = None
        scaled: dict[str, int] = {}
        if "function_name" in outputs:
            routed = self.target.routed_versions(outputs["function_name"], outputs["region"])
            if outputs.get("autoscaled_versions"):
                scaled = self.target.provisioned_versions(outputs["function_name"], outputs["region"])
        return {
            **{f"{variant}_version": self.pins.version(variant) for variant in VARIANTS},
            "held_versions": sorted((routed or set()) - self.pins.versions()) if self.pins.pins else [],
            "provisioned_now": {v: n for v, n in sorted(scaled.items()) if v in outputs["autoscaled_versions"]},
        }

    def _apply(self, variables: Mapping[str, Any], afterwards: str) -> None:
        """Apply with the pins as they are, after asking where that is wanted."""
        outputs = self.state.outputs()
        complete = {**variables, **self._pin_variables(outputs)}
        if self.request.confirm is not None:
            self._confirm_plan(complete, afterwards)
        self._write_variables(complete)
        self._write_pins()
        if self.request.confirm is not None:
            self.changes += self.terraform.apply_plan(self.folder / "deploy.tfplan")
        else:
            self.changes += self.terraform.apply(self.variables_file)

    def _apply_pins(self, variables: Mapping[str, Any], *, refresh: bool = False) -> None:
        """Apply moved pins. Right after an apply the state is fresh, and refreshing it again only costs time."""
        self._write_variables({**variables, **self._pin_variables(self.state.outputs())})
        self.changes += self.terraform.apply(self.variables_file, refresh=refresh)

    def _say_what_waits(self, variables: Mapping[str, Any]) -> None:
        """Name the functions beside whose packages changed: the next apply brings them, and this is none."""
        applied = self.state.read(VARIABLES_FILE) or {}
        for function, variable in _PACKAGE_VARIABLES.items():
            now, then = variables.get(variable) or {}, applied.get(variable) or {}
            if now.get("base64sha256") != then.get("base64sha256"):
                latest = self.pins.latest or "optimized"
                self.request.progress(f"{function} changed; tailcast deploy --variant {latest} brings it")

    def _write_variables(self, variables: Mapping[str, Any]) -> None:
        write_text(self.variables_file, to_json(variables))
        self.state.write(VARIABLES_FILE, variables)

    def _write_pins(self) -> None:
        self.state.write(PINS_FILE, to_document(self.pins))

    def _confirm_plan(self, variables: Mapping[str, Any], afterwards: str) -> None:
        if self.request.confirm is None:
            return
        planned = self.folder / "planned.tfvars.json"
        write_text(planned, to_json(variables))
        summary = str(self.terraform.plan(planned, self.folder / "deploy.tfplan"))
        self._ask(f"{summary}\n{afterwards}".rstrip())

    def _ask(self, summary: str) -> None:
        if self.request.confirm is not None and not self.request.confirm(summary):
            raise DeployError("declined; nothing was changed")

    def _forget_what_is_gone(self) -> None:
        """Drop pins of a function that was deleted behind Terraform's back: their versions do not come back."""
        outputs = self.state.outputs()
        if self.pins.pins and "function_name" in outputs:
            if self.target.routed_versions(outputs["function_name"], outputs["region"]) is not None:
                return
            self.request.progress(f"{outputs['function_name']} is gone from {self.target.name}; starting anew")
            self.pins = Pins(self.target.name)

    def _fingerprint(self, variables: Mapping[str, Any]) -> str:
        """Say what a published version depends on: variables, tfvars and the Terraform code."""
        # Where a package lies does not matter, nor do the functions beside it, whose versions nobody pins.
        left_out = {"package_path", *_PACKAGE_VARIABLES.values()}
        kept = {name: value for name, value in variables.items() if name not in left_out}
        digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
        for folder, pattern in (
            (self.request.root, "*.tf*"),
            (self.request.project / "terraform" / "modules", "*/*.tf"),
        ):
            for path in sorted(folder.glob(pattern)):
                if path.is_file():
                    digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def _deployment(self) -> Deployment:
        outputs = self.state.outputs()
        try:
            return Deployment(
                env=self.request.env,
                region=outputs["region"],
                function_name=outputs["function_name"],
                api_id=outputs["api_id"],
                api_endpoint=outputs["api_endpoint"],
                log_group_name=outputs["log_group_name"],
                versions=outputs["versions"],
                alias_names=outputs["alias_names"],
                models=outputs["models"],
                provisioned_versions=outputs["provisioned_versions"],
                journal_table=outputs.get("canary_journal_table"),
                changed=self.changes > 0,
                endpoint_url=self.request.endpoint_url,
                stream_url=(outputs.get("streaming") or {}).get("url"),
            )
        except KeyError as error:
            raise DeployError(f"{self.folder}: the state has no output {error}; deploy again to complete it") from None


def wants_streaming(request: DeployRequest) -> bool:
    """Say whether the streaming function is to be packaged: by the request's variables, else by the tfvars.

    Terraform decides; this only spares the package of whom does not want it, so a tfvars file is searched, not parsed.
    """
    asked = request.variables.get("streaming")
    if isinstance(asked, Mapping):
        return bool(asked.get("enabled", False))
    files = sorted(request.root.glob("*.tfvars")) + sorted(request.root.glob("*.tfvars.json"))
    return any(_STREAMING_ENABLED.search(path.read_text(encoding="utf-8")) for path in files)


def default_state_dir(project: Path, env: str, endpoint_url: str | None) -> Path:
    """Give the state folder of a deployment that names none: one an environment and cloud."""
    name = env if endpoint_url is None else f"{env}-{endpoint_url.split('://')[-1].strip('/').replace(':', '-')}"
    return project / ".tailcast" / "deploy" / name
