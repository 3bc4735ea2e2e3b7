"""Deployment packages: what they hold, and that their bytes depend on that alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from replay.errors import DeployError, InputError
from replay.package import Package, build_package, target_python
from replay.package.wheels import fetch_wheels, wheel_files

FUNCTION = "stream"
"""The one that carries the SDK."""


@pytest.fixture(scope="module")
def package(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_package(FUNCTION, project=project, out_dir=tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def unpacked(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(package.path) as archive:
        archive.extractall(folder)
    return folder


def checkout(project: Path, folder: Path) -> Path:
    """Copy what a build reads, with the wheels that were downloaded already."""
    shutil.copytree(project / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(project / "build" / "wheels", folder / "build" / "wheels")
    return folder


def test_two_checkouts_give_the_same_bytes(project: Path, package: Package, tmp_path: Path) -> None:
    near = checkout(project, tmp_path / "a")
    far = checkout(project, tmp_path / "another" / "much" / "deeper" / "folder")
    # What a checkout does not fix must not matter: times, modes, editors' leftovers.
    source = far / "functions" / FUNCTION / "app.py"
    os.utime(source, (1, 1))
    source.chmod(0o600)
    (far / "functions" / FUNCTION / "app.py~").write_text("leftover")
    (far / "functions" / "common" / "__pycache__").mkdir()
    (far / "functions" / "common" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"stale")
    built = [build_package(FUNCTION, project=folder, out_dir=folder / "out") for folder in (near, far)]
    assert built[0].path.read_bytes() == built[1].path.read_bytes() == package.path.read_bytes()


def test_a_changed_line_changes_the_digest(project: Path, package: Package, tmp_path: Path) -> None:
    folder = checkout(project, tmp_path)
    with (folder / "functions" / FUNCTION / "app.py").open("a") as source:
        source.write("# changed\n")
    assert build_package(FUNCTION, project=folder, out_dir=tmp_path / "out").sha256 != package.sha256


def test_the_digests_are_those_of_the_file(package: Package) -> None:
    digest = hashlib.sha256(package.path.read_bytes())
    assert package.sha256 == digest.hexdigest()
    assert len(package.base64sha256) == 44
    assert package.size_bytes == package.path.stat().st_size < 4 * 1024**2


def test_the_sdk_is_trimmed_to_the_services_in_use(unpacked: Path) -> None:
    data = unpacked / "botocore" / "data"
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == ["bedrock-runtime"]
    assert not (unpacked / "boto3" / "data").exists()
    partitions = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert {name for partition in partitions for name in partition["services"]} <= {"bedrock-runtime"}
    assert "us-east-1" in partitions[0]["regions"]


@pytest.mark.parametrize("name", ["inference", "authorizer"])
def test_a_function_that_signs_its_own_calls_is_its_own_code_alone(name: str, project: Path, tmp_path: Path) -> None:
    package = build_package(name, project=project, out_dir=tmp_path)
    with zipfile.ZipFile(package.path) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"functions"}
    assert package.size_bytes < 256 * 1024


def test_licences_travel_with_what_they_license(unpacked: Path) -> None:
    licensed = {
        path.parts[len(unpacked.parts)].split("-")[0]
        for path in unpacked.rglob("*")
        if path.is_file() and ".dist-info" in str(path) and "LICEN" in path.name.upper()
    }
    assert {"boto3", "botocore", "urllib3", "python_dateutil", "six"} <= licensed


def test_every_module_has_bytecode_that_needs_no_look_at_its_source(unpacked: Path) -> None:
    tag = sys.implementation.cache_tag
    for source in unpacked.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
        assert flags == 0b01, f"{compiled} is not of the unchecked-hash kind"


def test_nothing_tells_of_the_machine_that_built_it(unpacked: Path, project: Path) -> None:
    for path in unpacked.rglob("*.pyc"):
        assert str(project).encode() not in path.read_bytes()
    assert f"/var/task/functions/{FUNCTION}/app.py".encode() in b"".join(
        path.read_bytes() for path in (unpacked / "functions" / FUNCTION / "__pycache__").iterdir()
    )


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("authorizer", "functions.authorizer.handler"),
        ("inference", "functions.inference.handler"),
        ("stream", "functions.stream.app"),
    ],
)
def test_it_runs_with_nothing_but_the_standard_library_beside_it(
    name: str, module: str, project: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(build_package(name, project=project, out_dir=tmp_path).path) as archive:
        archive.extractall(tmp_path / "task")
    script = (
        "import importlib, importlib.machinery, sys\n"
        "def compiles(self, data, path, **_): raise AssertionError(f'{path} is compiled at INIT')\n"
        "importlib.machinery.SourceFileLoader.source_to_code = compiles\n"
        f"sys.path.insert(0, {str(tmp_path / 'task')!r})\n"
        f"print(importlib.import_module({module!r}).__name__)\n"
    )
    environment = {"KEYS_TABLE": "t", "AWS_DEFAULT_REGION": "us-east-1", "PATH": os.environ["PATH"]}
    environment |= {"AWS_REGION": "us-east-1", "MODEL_ID": "us.amazon.nova-lite-v1:0", "VARIANT": "baseline"}
    environment |= {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout, result.stderr) == (f"{module}\n", "")


def test_the_entries_of_the_zip_are_sorted_and_dateless(package: Package) -> None:
    with zipfile.ZipFile(package.path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    modes = {entry.filename: entry.external_attr >> 16 for entry in entries}
    # The start command of Lambda Web Adapter is the one file that is executable.
    assert modes.pop("functions/stream/run.sh") == 0o100755
    assert set(modes.values()) == {0o100644}


def small_project(tmp_path: Path, package_toml: str | None = None, requirements: str = "") -> Path:
    folder = tmp_path / "functions" / "tiny"
    folder.mkdir(parents=True)
    (folder / "handler.py").write_text("def handle(event, context):\n    return event\n")
    text = 'handler = "functions.tiny.handler.handle"\nsources = ["functions/tiny"]\n'
    (folder / "package.toml").write_text(text if package_toml is None else package_toml)
    (folder / "requirements.txt").write_text(requirements)
    return tmp_path


def test_a_function_without_dependencies_needs_no_index(tmp_path: Path) -> None:
    built = build_package("tiny", project=small_project(tmp_path), out_dir=tmp_path / "out")
    with zipfile.ZipFile(built.path) as archive:
        tag = sys.implementation.cache_tag
        assert archive.namelist() == [
            f"functions/tiny/__pycache__/handler.{tag}.pyc",
            "functions/tiny/handler.py",
        ]


@pytest.mark.parametrize(
    ("package_toml", "line"),
    [
        ("handler = 7", "handler=7 must be text"),
        ('handler = "a.b"\nsource = []', "unknown key 'source'"),
        ("handler = ", "not valid TOML"),
        ('handler = "functions.tiny.other.handle"\nsources = ["functions/tiny"]', "no functions/tiny/other.py"),
        ('handler = "functions.tiny.handler.handle"\nsources = ["functions/gone"]', "no such file or folder"),
        ('handler = "functions.tiny.handler.handle"\nsources = "functions"', "must be a list of texts"),
    ],
)
def test_a_wrong_description_is_refused_with_its_place(tmp_path: Path, package_toml: str, line: str) -> None:
    project = small_project(tmp_path, package_toml)
    with pytest.raises(InputError, match=line) as caught:
        build_package("tiny", project=project, out_dir=tmp_path / "out")
    assert "tiny" in str(caught.value) or "gone" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_function_and_an_unknown_python_are_refused(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    with pytest.raises(InputError, match="is 'huge' the name of a folder"):
        build_package("huge", project=project, out_dir=tmp_path)
    with pytest.raises(InputError, match=r"python='2\.7' is not one of 3\.11"):
        build_package("tiny", project=project, out_dir=tmp_path, python="2.7")


def test_a_compiled_file_in_the_sources_is_refused(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    (project / "functions" / "tiny" / "fast.so").write_bytes(b"\x7fELF")
    with pytest.raises(DeployError, match=r"fast\.so: a compiled file; only pure Python"):
        build_package("tiny", project=project, out_dir=tmp_path / "out")


def test_a_module_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    (project / "functions" / "tiny" / "broken.py").write_text("def (:\n")
    with pytest.raises(DeployError, match=r"cannot compile the package.*SyntaxError"):
        build_package("tiny", project=project, out_dir=tmp_path / "out")


def make_wheel(folder: Path, name: str, **files: bytes) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for inner, content in files.items():
            archive.writestr(inner.replace("__", "/").replace("_dot_", "."), content)
    return path


def test_wheels_with_compiled_parts_are_refused(tmp_path: Path) -> None:
    platform = make_wheel(tmp_path, "fast-1-cp311-cp311-manylinux_2_17_x86_64.whl")
    with pytest.raises(DeployError, match="a wheel for one platform"):
        list(wheel_files(platform))
    disguised = make_wheel(tmp_path, "fast-1-py3-none-any.whl", fast__core_dot_so=b"\x7fELF")
    with pytest.raises(DeployError, match=r"holds the compiled file fast/core\.so"):
        list(wheel_files(disguised))


def test_a_wheels_data_folders_land_where_pip_would_put_them(tmp_path: Path) -> None:
    path = tmp_path / "lib-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lib/__init__.py", "")
        archive.writestr("lib-1.data/purelib/extra.py", "")
        archive.writestr("lib-1.data/scripts/tool", "")
        archive.writestr("lib-1.dist-info/RECORD", "")
        archive.writestr("lib-1.dist-info/METADATA", "")
    assert [name for name, _ in wheel_files(path)] == ["lib/__init__.py", "extra.py", "lib-1.dist-info/METADATA"]


def test_requirements_without_hashes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("six==1.17.0\n")
    with pytest.raises(DeployError, match="cannot download its wheels"):
        fetch_wheels(requirements, tmp_path / "cache", target_python())
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wrong_hash_is_refused(tmp_path: Path, package: Package) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(DeployError, match="cannot download its wheels"):
        fetch_wheels(requirements, tmp_path / "cache", target_python())
