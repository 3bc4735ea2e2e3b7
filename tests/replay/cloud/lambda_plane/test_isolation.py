"""What a function sees: its package, the runtime client, the standard library, its variables; nothing of ours."""

from __future__ import annotations

import base64
import importlib.util
import json
import marshal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.replay.cloud.lambda_plane.conftest import World
from tests.replay.cloud.lambda_plane.support import make_zip

LOOK = """
    import os, sys

    def handle(event, context):
        return {
            "environment": dict(os.environ),
            "path": sys.path,
            "cwd": os.getcwd(),
            "home": os.path.expanduser("~"),
            "open": sorted(int(name) for name in os.listdir("/proc/self/fd")),
            "loaded": sorted(sys.modules),
            "invoked": context.invoked_function_arn,
            "left_ms": context.get_remaining_time_in_millis(),
            "client": context.client_context.custom if context.client_context else None,
        }
"""


def names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


@pytest.fixture(params=["real", "replayed"])
async def each_world(request: pytest.FixtureRequest, make_world: Callable[..., Awaitable[World]]) -> World:
    return await make_world(init=request.param, init_ms=(1.0,), endpoint_url="http://127.0.0.1:1")


async def test_the_environment_is_lambda_s_and_clean(each_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a developer's")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    each_world.catalog.deploy("f", LOOK, version="3", memory_mb=512, environment={"MODEL": "m", "_HANDLER": "lies"})
    seen = await each_world.answer("f", None, "3")
    environment = seen["environment"]
    assert "SOME_TOKEN" not in environment
    assert "PYTHONPATH" not in environment
    assert environment["AWS_SECRET_ACCESS_KEY"] == "local"
    expected = {
        "MODEL": "m",
        "_HANDLER": "app.handle",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "3",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "TZ": ":UTC",
    }
    assert {name: environment.get(name) for name in expected} == expected
    assert environment["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    await each_world.plane.flush()
    assert environment["AWS_LAMBDA_LOG_STREAM_NAME"] in each_world.logs.of("f")
    assert seen["cwd"] == environment["LAMBDA_TASK_ROOT"]
    assert seen["home"] == environment["TMPDIR"]
    assert seen["home"].startswith(str(each_world.work_dir))


async def test_nothing_installed_here_is_on_its_path(each_world: World) -> None:
    each_world.catalog.deploy("f", LOOK)
    seen = await each_world.answer("f")
    task_root, runtime, *library = seen["path"]
    assert names(task_root) == ["app.py"]  # and no bytecode has been written beside it
    assert {name.partition(".")[0] for name in names(runtime)} == {
        "awslambdaric",
        "runtime_client",
        "simplejson",
        "snapshot_restore_py",
        "__pycache__",
    }
    assert not any("site-packages" in folder or "dist-packages" in folder for folder in library)
    assert not {"site", "replay", "aiohttp", "numpy"} & set(seen["loaded"])


async def test_it_inherits_no_descriptor(each_world: World) -> None:
    each_world.catalog.deploy("f", LOOK)
    await each_world.answer("f")
    seen = await each_world.answer("f")
    # stdin, stdout, stderr, the connection to the Runtime API, libcurl's own wake-up pair, the listing itself
    assert len(seen["open"]) <= 7, seen["open"]


async def test_the_context_is_filled_in(world: World) -> None:
    world.catalog.deploy("f", LOOK, timeout_s=7.0)
    client = base64.b64encode(json.dumps({"custom": {"who": "mé"}}).encode()).decode()
    seen = json.loads((await world.plane.invoke("f", None, b"", client_context=client, trace_id="Root=1-a-b")).payload)
    assert seen["invoked"] == "arn:aws:lambda:us-east-1:123456789012:function:f"
    assert 6_500 < seen["left_ms"] <= 7_000
    assert seen["client"] == {"who": "mé"}
    assert seen["environment"]["_X_AMZN_TRACE_ID"] == "Root=1-a-b"


async def test_bytecode_in_the_package_is_used(world: World) -> None:
    """An unchecked-hash .pyc wins over its source: here the two differ, which shows which one ran."""
    code = compile("VALUE = 'bytecode'", "lib.py", "exec")
    header = importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little") + b"\0" * 8
    cached = importlib.util.cache_from_source("lib.py")
    files: dict[str, str | bytes] = {
        "app.py": "import lib\n\ndef handle(event, context):\n    return lib.VALUE\n",
        "lib.py": "VALUE = 'source'\n",
        cached: header + marshal.dumps(code),
    }
    world.catalog.deploy("f", files)
    assert await world.answer("f") == "bytecode"


async def test_each_environment_has_a_temporary_folder_that_ends_with_it(world: World) -> None:
    world.catalog.deploy(
        "f",
        """
        import pathlib, tempfile

        def handle(event, context):
            file = pathlib.Path(tempfile.gettempdir()) / "kept"
            before = file.exists()
            file.write_text("x")
            return [before, str(file)]
        """,
    )
    before, file = await world.answer("f")
    assert (before, await world.answer("f")) == (False, [True, file])
    world.plane.retire("f", None)
    await world.until(lambda: not Path(file).parent.exists())


async def test_two_functions_with_one_package_share_its_folder(world: World) -> None:
    package = make_zip({"app.py": "import os\n\ndef handle(event, context):\n    return os.getcwd()\n"})
    for name in ("f", "g"):
        world.catalog.deploy(name, "", code_zip=package)
    assert await world.answer("f") == await world.answer("g")
