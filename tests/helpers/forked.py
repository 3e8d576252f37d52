"""Python's command line in processes that begin with the model libraries imported.

These imports take five seconds in every process. Here one process of the session makes them and
forks the others. They are otherwise as :mod:`subprocess` would start them: arguments, folder,
environment, output, session, signals and exit code are their own. A test of what a process imports
starts its own.
"""

import atexit
import contextlib
import functools
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.reduction
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import types
from pathlib import Path

ROOT = Path(__file__).parents[2]


@functools.cache
def forkserver():
    """The ``multiprocessing`` context of the session whose processes have the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.imported"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # the server is a new interpreter in any folder
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


@contextlib.contextmanager
def no_main_module():
    """Hide the main module of this process, or processes that start now import it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Popen:
    """A process like that of :class:`subprocess.Popen`.

    ``command``: an interpreter, ``-m`` and a module or ``-c`` and code, arguments.
    """

    def __init__(
        self,
        command,
        *,
        cwd=ROOT,
        env=None,
        stdin=None,
        stdout=None,
        stderr=None,
        start_new_session=False,
        process_group=None,
    ):
        assert stdin in (None, subprocess.DEVNULL), "it reads nothing"
        assert process_group in (None, 0), "only a group of its own"
        self.returncode: int | None = None
        self.stdout, out = _output(stdout, 1)
        self.stderr, err = _output(stderr, 2)
        if stderr == subprocess.STDOUT:
            err = out
        settings = dict(os.environ if env is None else env)
        mask = os.umask(0)
        os.umask(mask)
        is_apart = start_new_session or process_group == 0
        way = (command[1:], str(cwd), settings, mask, is_apart)
        arguments = (*way, _Handle(out), _Handle(err))
        self._process = forkserver().Process(target=_run, args=arguments)
        with no_main_module():
            self._process.start()
        self.pid = self._process.pid
        for pipe, handle in ((self.stdout, out), (self.stderr, err)):
            if pipe:
                os.close(handle)

    def poll(self):
        """The exit code, or None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout=None):
        """The exit code, once it has ended."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self.returncode

    def send_signal(self, number):
        """Send a signal if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """What it writes to its pipes until its end; it is killed after ``timeout`` seconds."""
        texts = {}

        def read(pipe):
            with pipe:
                texts[pipe] = pipe.read()

        pipes = [pipe for pipe in (self.stdout, self.stderr) if pipe and not pipe.closed]
        threads = [threading.Thread(target=read, args=[pipe]) for pipe in pipes]
        for thread in threads:
            thread.start()
        try:
            self.wait(timeout)
        finally:
            self.kill()
            for thread in threads:
                thread.join(10)
        return texts.get(self.stdout), texts.get(self.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()
        for pipe in (self.stdout, self.stderr):
            if pipe:
                pipe.close()


def run(command, *, cwd=ROOT, env=None, timeout=None):
    """Run a command to its end and capture its output, like :func:`subprocess.run`."""
    process = Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout)
    return subprocess.CompletedProcess(command, process.wait(), output, errors)


def _output(where, number):
    """What reads an output of the process, if anything, and the descriptor it writes to."""
    if where is None or where == subprocess.STDOUT:
        return None, number
    if where != subprocess.PIPE:
        return None, where.fileno()
    reading, writing = os.pipe()
    return os.fdopen(reading, encoding="utf-8"), writing


class _Handle:
    """A descriptor that goes to the new process."""

    def __init__(self, number):
        self._number = number

    def __reduce__(self):
        return _detach, (multiprocessing.reduction.DupFd(self._number),)


def _detach(handle):
    return handle.detach()


def _run(command, folder, settings, mask, has_new_session, *outputs):
    """Be the process: runs the command and ends."""
    if has_new_session:
        os.setsid()
    for number, handle in enumerate(outputs, start=1):
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    os.umask(mask)
    os.environ.clear()
    os.environ.update(settings)
    os.chdir(folder)
    # The usual end: threads are waited for, exit functions run. `multiprocessing` has its own.
    code = _exit_code(*command)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _exit_code(option, what, *arguments):
    """Run a module or code as ``python`` does; returns the exit code."""
    sys.argv = [what if option == "-m" else option, *arguments]
    sys.path[0:0] = ["" if option == "-c" else os.getcwd()]  # noqa: PTH109
    try:
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), main.__dict__)  # noqa: S102
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
