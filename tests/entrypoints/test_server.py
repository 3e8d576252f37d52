"""The server of a small team, as `make server` starts it: who may do what, and that its secrets stay where they are."""

import contextlib
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from mlflow.artifacts import load_text
from mlflow.exceptions import MlflowException
from mlflow.genai import register_prompt
from mlflow.tracking import MlflowClient

from entrypoints.server import place
from project.support.errors import AssayError
from tests.helpers.servers import client, free_port

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.xdist_group("server"), pytest.mark.timeout(240)]


class Team:
    """A server on a folder, in a process of its own; ``said``: where it and all other commands wrote."""

    def __init__(self, home):
        self.folder, self.said, self.port = home / "server", home / "said", free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        with self.said.open("a") as said:
            self.process = subprocess.Popen(
                self._command("--port", str(self.port), "--workers", "1"),
                cwd=ROOT,
                stdout=said,
                stderr=said,
            )
        until, seen = time.monotonic() + 120, self.said.read_text().count("Add a person")
        while self.said.read_text().count("Add a person") == seen:
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < until, self.said.read_text()
            time.sleep(0.1)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def _command(self, *more):
        return [sys.executable, "-m", "entrypoints.server", "--folder", str(self.folder), *more]

    def add(self, *people):
        """Add people, each by a name and options, all at once."""
        with self.said.open("a") as said:
            asked = [
                subprocess.Popen(
                    self._command("--add", *person), cwd=ROOT, stdout=said, stderr=said
                )
                for person in people
            ]
            assert [one.wait(120) for one in asked] == [0] * len(people), self.said.read_text()

    def secrets(self):
        """What is kept secret, by the file that keeps it."""
        files = [self.folder / "admin.env", *self.folder.glob("people/*.env")]
        values = {
            path: [
                line.split("=", 1)[1]
                for line in path.read_text().splitlines()
                if "PASSWORD" in line or "SECRET" in line
            ]
            for path in files
        }
        assert all(len(value) > 20 for kept in values.values() for value in kept)
        return values

    def password(self, name):
        return self.secrets()[self.folder / "people" / f"{name}.env"][0]


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    running = Team(tmp_path_factory.mktemp("team"))
    try:
        running.add(["ann"], ["ben", "--reader"])
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def commands(started):
    """The command lines of a process, and of all that were started from it."""
    parents, lines = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            lines[int(path.name)] = (path / "cmdline").read_text()
    ours = {started}
    for _ in range(5):
        ours |= {child for child, parent in parents.items() if parent in ours}
    return {one: lines[one] for one in ours & lines.keys()}


def test_secrets_stay_in_files_that_are_their_owners_alone(team):
    secrets = team.secrets()
    running = commands(team.process.pid)

    assert len(secrets[team.folder / "admin.env"]) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert {
        stat.S_IMODE(path.stat().st_mode) for path in (team.folder, team.folder / "people")
    } == {0o700}
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in team.folder.iterdir())
    assert len(running) >= 3
    shown = "".join(
        [team.said.read_text(), (team.folder / "server.log").read_text(), *running.values()]
    )
    assert not [path for path, values in secrets.items() for value in values if value in shown]


def test_whoever_has_the_role_logs_others_read_and_a_stranger_sees_nothing(team):
    with client(team.url, "ann", team.password("ann")):
        log = MlflowClient()
        experiment = log.create_experiment("letters")
        run = log.create_run(experiment)
        log.log_metric(run.info.run_id, "macro_f1", 0.5)
        log.log_text(run.info.run_id, "praise", "labels/first.txt")
        assert load_text(f"{run.info.artifact_uri}/labels/first.txt") == "praise"

    with client(team.url, "ben", team.password("ben")):
        reader = MlflowClient()
        assert reader.search_runs([experiment])[0].data.metrics == {"macro_f1": 0.5}
        assert load_text(f"{run.info.artifact_uri}/labels/first.txt") == "praise"
        for refused in (
            lambda: reader.create_run(experiment),
            lambda: reader.log_metric(run.info.run_id, "macro_f1", 1.0),
            lambda: reader.log_text(run.info.run_id, "blame", "labels/first.txt"),
            lambda: reader.delete_run(run.info.run_id),
        ):
            with pytest.raises(
                (MlflowException, requests.HTTPError), match=r"403|Permission denied"
            ):
                refused()
        own = reader.create_experiment("ben's own")  # what nobody can keep anybody from
        register_prompt("bens", "Sort it.")

    with client(team.url, "ann", team.password("ann")):
        log.log_metric(log.create_run(own).info.run_id, "macro_f1", 0.7)
        assert register_prompt("bens", "Sort it well.").version == 2
        assert load_text(f"{run.info.artifact_uri}/labels/first.txt") == "praise"

    artifact = (
        f"2.0/mlflow-artifacts/artifacts/{experiment}/{run.info.run_id}/artifacts/labels/first.txt"
    )
    for path in (
        "",
        "api/2.0/mlflow/experiments/search?max_results=9",
        f"api/2.0/mlflow/runs/get?run_id={run.info.run_id}",
        f"api/{artifact}",
        f"ajax-api/{artifact}",
        f"get-artifact?run_id={run.info.run_id}&path=labels/first.txt",
        "api/2.0/mlflow/registered-models/search",
        "api/3.0/mlflow/users/roles/list?username=ann",
    ):
        assert requests.get(f"{team.url}/{path}", timeout=30).status_code == 401, path
        assert (
            requests.get(
                f"{team.url}/{path}", timeout=30, auth=("admin", "a password of nobody")
            ).status_code
            == 401
        ), path
    assert (
        requests.post(f"{team.url}/graphql", json={"query": "{ test }"}, timeout=30).status_code
        == 401
    )
    called = requests.get(
        f"{team.url}/",
        timeout=30,
        headers={"Host": f"evil.example:{team.port}"},
        auth=("ann", team.password("ann")),
    )
    assert (called.status_code, "Invalid Host header" in called.text) == (403, True)


def test_a_second_start_keeps_the_secrets_and_what_was_logged_and_nothing_runs_on_after_its_end(
    team,
):
    secrets, before = team.secrets(), commands(team.process.pid)
    with client(team.url, "ann", team.password("ann")):
        MlflowClient().create_experiment("kept")

    ignored = (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    )  # as in the background of a shell, which the server honours
    assert team.stop(signal.SIGTERM if ignored else signal.SIGINT) == 0
    time.sleep(0.2)
    assert not [one for one in before if Path(f"/proc/{one}").exists()]
    team.start()

    assert team.secrets() == secrets
    with client(team.url, "ann", team.password("ann")):
        assert MlflowClient().get_experiment_by_name("kept")


def test_whoever_opens_the_server_to_others_says_by_which_names():
    assert place("127.0.0.1", 5000, "").told == "http://127.0.0.1:5000"
    assert place("127.0.0.1", 5000, "mlflow.example.org").told == "https://mlflow.example.org"
    open_to_all = place("0.0.0.0", 5000, "lab, other.example.org")
    assert (open_to_all.url, open_to_all.told) == ("http://127.0.0.1:5000", "http://lab:5000")
    assert {"lab", "lab:5000", "other.example.org:5000", "127.0.0.1:5000"} <= set(open_to_all.hosts)
    assert "https://other.example.org" in open_to_all.origins
    with pytest.raises(AssayError, match="--allowed_hosts must list the names"):
        place("0.0.0.0", 5000, "")
    with pytest.raises(AssayError, match="--host must be an address"):
        place("mlflow.example.org", 5000, "mlflow.example.org")
