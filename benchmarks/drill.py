"""Kills annotation at random points and flips bits in its workspace; counts what is paid twice.

python -m benchmarks.drill
python -m benchmarks.drill --only flips

A server on the loopback address counts the calls. Every scenario ends with the same command, and
its answers are compared with those of a run that was never disturbed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.drill_server import MODEL, SECONDS
from project.annotation.cache import AnswerCache
from project.support.parquet import content_hash

ROOT = Path(__file__).parents[1]
CONCURRENCY = 16
N_TEXTS = 256
N_DRAWS = 4
# Name of a scenario, the signal, and how many processes get it one after the other.
KILLS = (("SIGKILL", signal.SIGKILL, 9), ("SIGTERM", signal.SIGTERM, 2), ("SIGINT", 2, 2))
_WAIT = 120.0  # seconds for a process to send its first request


class Outcome(NamedTuple):
    """What one scenario did.

    ``calls``: requests that the server got. ``probes``: those by which a process finds out what
    the server can do. ``repeated``: those for an answer that it had been asked for before.
    ``hash``: of all answers on disk. ``exits``: of all processes.
    """

    calls: int
    probes: int
    repeated: int
    hash: str
    exits: list[int]


class Drill:
    """A server, and commands that ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.probes: set[str] = set()  # what every process asks first
        self._server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.drill_server", str(folder)], cwd=ROOT
        )
        while not (folder / "port").exists() or not (folder / "port").read_text():
            time.sleep(0.05)
        self._url = f"http://127.0.0.1:{(folder / 'port').read_text()}/v1"

    def close(self) -> None:
        """End the server."""
        self._server.terminate()
        self._server.wait()

    def calls(self) -> list[str]:
        """The prompts of all calls so far, as digests."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def start(self, workspace: Path, **more: Any) -> subprocess.Popen[str]:
        """Start the command of every scenario."""
        params = {
            "annotator": "openai",
            "annotator_model": MODEL,
            "annotator_url": self._url,
            "annotator_tokenizer": "none",
            "chat_template": "true",
            "label_style": "letter",
            "calibration": "none",
            "max_train": N_TEXTS,
            "ensemble_size": N_DRAWS,
            "max_concurrency": CONCURRENCY,
            "reuse": "none",
            "workspace": workspace,
            **more,
        }
        module = params.pop("module", "annotate")
        words = [word for name, value in params.items() for word in (f"--{name}", str(value))]
        environment = os.environ | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{workspace}.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_LOGGING_LEVEL": "WARNING",
        }
        return subprocess.Popen(
            [sys.executable, "-m", f"entrypoints.{module}", *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @contextlib.contextmanager
    def scenario(self, workspace: Path) -> Iterator[list[Outcome]]:
        """Count the calls inside; the outcome is appended to the list at the end."""
        before = len(self.calls())
        outcomes: list[Outcome] = []
        yield outcomes
        counts = collections.Counter(self.calls()[before:])
        # A process that nothing disturbs asks for no answer twice, but sends a probe twice.
        self.probes = self.probes or {prompt for prompt, n in counts.items() if n > 1}
        probes = sum(counts[prompt] for prompt in self.probes)
        repeated = sum(n - 1 for prompt, n in counts.items() if prompt not in self.probes)
        hash_ = answers_hash(workspace)
        outcomes.append(Outcome(counts.total(), probes, repeated, hash_, []))

    def interrupted(self, workspace: Path, number: int, times: int, rng: random.Random) -> Outcome:
        """Send a signal to ``times`` processes at random points, then let one come to its end."""
        exits = []
        with self.scenario(workspace) as outcomes:
            for _ in range(times):
                process = self.start(workspace)
                self._wait_for_a_call(process)
                time.sleep(rng.uniform(0.0, 0.5))
                process.send_signal(number)
                process.communicate()
                exits.append(process.returncode)
            exits.append(self.finish(workspace))
        return outcomes[0]._replace(exits=exits)

    def two_at_once(self, workspace: Path) -> Outcome:
        """Two processes with the same command."""
        with self.scenario(workspace) as outcomes:
            processes = [self.start(workspace), self.start(workspace)]
            for process in processes:
                process.communicate()
        return outcomes[0]._replace(exits=[process.returncode for process in processes])

    def finish(self, workspace: Path, **more: Any) -> int:
        """Run the command to its end; returns its exit status."""
        process = self.start(workspace, **more)
        output, _ = process.communicate()
        if process.returncode:
            sys.stderr.write(output)
        return process.returncode

    def _wait_for_a_call(self, process: subprocess.Popen[str]) -> None:
        before = len(self.calls())
        end = time.monotonic() + _WAIT
        while len(self.calls()) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)


def answers_hash(workspace: Path) -> str:
    """Hash of all answers on disk, whatever files they are in and how long they took."""
    tables = []
    for question in sorted((workspace / "annotations").iterdir()):
        table = AnswerCache(question).load()
        if table is not None:
            tables.append(table.to_pandas().drop_duplicates("answer_key").assign(q=question.name))
    joined = pd.concat(tables).sort_values(["q", "answer_key"], ignore_index=True)
    return content_hash(joined.drop(columns="seconds"))[:12]


def kills(drill: Drill, folder: Path, seed: int) -> None:
    """Print a table of the scenarios with signals and with two processes."""
    rng = random.Random(seed)
    whole = folder / "whole"
    with drill.scenario(whole) as outcomes:
        drill.finish(whole)
    expected = outcomes[0]
    rows = [("undisturbed", expected)]
    for name, number, times in KILLS:
        rows.append((f"{times} x {name}", drill.interrupted(folder / name, number, times, rng)))
    rows.append(("two processes at once", drill.two_at_once(folder / "two")))
    sys.stdout.write(
        f"\n{N_DRAWS} draws of {N_TEXTS} texts, {SECONDS:g} s an answer, at most {CONCURRENCY} "
        "requests at once\n\n"
        "| scenario | calls | first calls | repeated | answers equal | exit codes |\n"
        "|---|---:|---:|---:|---|---|\n"
    )
    for name, outcome in rows:
        is_equal = "yes" if outcome.hash == expected.hash else "NO"
        codes = ", ".join(map(str, outcome.exits)) or "0"
        sys.stdout.write(
            f"| {name} | {outcome.calls} | {outcome.probes} | {outcome.repeated} | {is_equal} | "
            f"{codes} |\n"
        )


def flips(drill: Drill, folder: Path, seed: int) -> None:
    """Print a table of bit flips in the workspace of a finished experiment."""
    rng = random.Random(seed)
    workspace = folder / "experiment"
    experiment = {
        "module": "main",
        "max_train": 32,
        "max_test": 32,
        "max_validation": 16,
        "ensemble_size": 1,
        "seeds": 1,
        "epochs": 1,
        "arms": "gold,llm",
    }
    drill.finish(workspace, **experiment)
    hashes = workspace_hashes(workspace)
    sys.stdout.write(
        "\n| file with a flipped bit | named | calls | contents as before | exit code |\n"
        "|---|---|---:|---|---:|\n"
    )
    for path in damageable(workspace):
        before = len(drill.calls())
        flip(workspace / path, rng)
        process = drill.start(workspace, **experiment)
        output, _ = process.communicate()
        # The name of a file of answers, or of a folder of results, is a digest.
        named = str(path) in output
        is_equal = workspace_hashes(workspace) == hashes
        again = drill.finish(workspace, **experiment)
        sys.stdout.write(
            f"| {_short(path)} | {'yes' if named else 'NO'} | {len(drill.calls()) - before} | "
            f"{'yes' if is_equal else 'NO'} | {process.returncode}, then {again} |\n"
        )


def flip(path: Path, rng: random.Random) -> None:
    """Flip one random bit of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def damageable(workspace: Path) -> Sequence[Path]:
    """One file of each kind below ``workspace``, relative to it."""
    patterns = {
        "answers": "annotations/*/answers-*",
        "predictions": "**/predictions.parquet",
        "result": "**/result.json",
        "token ids": "**/ids.npy",
        "token ends": "**/ends.npy",
    }
    found = {name: sorted(workspace.glob(pattern)) for name, pattern in patterns.items()}
    return [paths[0].relative_to(workspace) for paths in found.values() if paths]


def workspace_hashes(workspace: Path) -> list[str]:
    """Hashes of answers and predictions, whatever the names of their files."""
    predictions = sorted(workspace.glob("**/predictions.parquet"))
    return [
        answers_hash(workspace),
        *(content_hash(pd.read_parquet(path)) for path in predictions),
    ]


def _short(path: Path) -> str:
    return "/".join(part if len(part) < 24 else f"{part[:12]}..." for part in path.parts)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("kills", "flips"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.stdout.write(f"python {platform.python_version()}, {platform.platform()}\n")
    folder = Path(tempfile.mkdtemp())
    drill = Drill(folder)
    try:
        if options.only != "flips":
            kills(drill, folder, options.seed)
        if options.only != "kills":
            flips(drill, folder, options.seed)
    finally:
        drill.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
