"""Running a long command: lines as they come, deadlines, interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from replay.errors import DeployError
from replay.terraform import process
from replay.terraform.process import Finished, run


def run_python(script: str, *, timeout_s: float = 20, lines: list[str] | None = None) -> Finished:
    taken: list[str] = [] if lines is None else lines
    return run(
        [sys.executable, "-u", "-c", textwrap.dedent(script)],
        cwd=Path.cwd(),
        environment=os.environ,
        timeout_s=timeout_s,
        on_line=taken.append,
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_lines_arrive_while_the_command_runs() -> None:
    seen: list[float] = []

    class Clock(list[str]):
        def append(self, line: str) -> None:
            seen.append(time.monotonic())
            super().append(line)

    lines = Clock()
    finished = run_python("import time\nprint('a')\ntime.sleep(0.5)\nprint('b')", lines=lines)
    assert list(lines) == ["a", "b"]
    assert seen[1] - seen[0] > 0.3
    assert (finished.returncode, finished.stdout) == (0, "a\nb\n")


def test_much_output_on_both_streams_does_not_block() -> None:
    script = "import sys\nfor n in range(20000):\n    print('o' * 20)\n    print('e' * 20, file=sys.stderr)"
    finished = run_python(script)
    assert (len(finished.stdout), len(finished.stderr)) == (420_000, 420_000)


def test_a_failing_command_gives_its_code_and_stderr() -> None:
    finished = run_python("import sys\nprint('why', file=sys.stderr)\nsys.exit(3)")
    assert (finished.returncode, finished.stderr) == (3, "why\n")


def test_a_command_that_is_not_there_is_one_line() -> None:
    with pytest.raises(DeployError, match="cannot start /nowhere/terraform: No such file"):
        run(["/nowhere/terraform", "x"], cwd=Path.cwd(), environment={}, timeout_s=1, on_line=print)


STUBBORN = """
    import os, signal, sys, time
    interrupts = []
    signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
    print(os.getpid())
    while not interrupts:
        time.sleep(0.05)
    time.sleep(0.5)  # Terraform finishes what it is doing, and writes its state
    open({report!r}, "w").write(f"{{len(interrupts)}} interrupt")
"""


def test_a_deadline_interrupts_once_and_waits_for_the_end(tmp_path: Path) -> None:
    lines: list[str] = []
    report = tmp_path / "report"
    with pytest.raises(DeployError, match="not done after 1 s; it was interrupted"):
        run_python(STUBBORN.format(report=str(report)), timeout_s=1, lines=lines)
    assert not alive(int(lines[0]))
    assert report.read_text() == "1 interrupt"


def test_an_interrupt_of_ours_reaches_the_command_once_and_goes_on(tmp_path: Path) -> None:
    lines: list[str] = []
    report = tmp_path / "report"
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(1.0, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_python(STUBBORN.format(report=str(report)), lines=lines)
    timer.join()
    assert not alive(int(lines[0]))
    assert report.read_text() == "1 interrupt"


def test_a_command_that_ignores_the_interrupt_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "INTERRUPT_GRACE_S", 0.5)
    lines: list[str] = []
    script = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid)
        time.sleep(60)
    """
    with pytest.raises(DeployError, match="not done after"):
        run_python(script, timeout_s=1, lines=lines)
    child = int(lines[0])
    deadline = time.monotonic() + 5
    while _running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(child)


def _running(pid: int) -> bool:
    """Tell a running process from one that has ended and that nobody has asked about yet."""
    result = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return result.stdout.strip() not in ("", "Z", "Z+", "ZN")
