"""The server of a small team, as ``make server`` starts it: its users' rights, its secrets."""

import contextlib
import os
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

from entrypoints.server import main as server_main
from entrypoints.wiring.team_server_address import server_address
from entrypoints.wiring.team_server_process import END_SIGNALS
from project.support.errors import AssayError
from project.tracking.doctor.team_app import foreign_experiments
from tests.helpers import forked
from tests.helpers.servers import client, free_port

ROOT = Path(__file__).parents[2]
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  (no server is started there)
pytestmark = [pytest.mark.xdist_group("server"), pytest.mark.timeout(240)]


class TeamServer:
    """A server on a folder, in a process of its own.

    ``output`` is the file in which its output and that of all further commands is collected.
    """

    def __init__(self, home):
        self.folder = home / "server"
        self.output = home / "output"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                self._command("--port", str(self.port), "--workers", "1"),
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 120
        n_starts = self.output.read_text().count("Add a person")
        while self.output.read_text().count("Add a person") == n_starts:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def _command(self, *arguments):
        folder = str(self.folder)
        return [sys.executable, "-m", "entrypoints.server", "--folder", folder, *arguments]

    def add(self, *people):
        """Add people at the same time; each is a name and options."""
        with self.output.open("a") as output:
            processes = [
                forked.Popen(self._command("--add", *person), stdout=output, stderr=output)
                for person in people
            ]
            exit_codes = [process.wait(120) for process in processes]
        assert exit_codes == [0] * len(people), self.output.read_text()

    def secrets(self):
        """The secrets by the file that holds them."""
        files = [self.folder / "admin.env", *self.folder.glob("people/*.env")]
        values = {
            path: [
                line.split("=", 1)[1]
                for line in path.read_text().splitlines()
                if "PASSWORD" in line or "SECRET" in line
            ]
            for path in files
        }
        assert all(len(value) > 20 for of_file in values.values() for value in of_file)
        return values

    def password(self, name):
        return self.secrets()[self.folder / "people" / f"{name}.env"][0]


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """A server with ann, who may log, and ben, who may only read."""
    running = TeamServer(tmp_path_factory.mktemp("team"))
    try:
        running.add(["ann"], ["ben", "--reader"])
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def command_lines(process_id):
    """The command lines of a process and its descendants, by process id."""
    parents = {}
    lines = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            lines[int(path.name)] = (path / "cmdline").read_text()
    family = {process_id}
    for _ in range(5):
        family |= {child for child, parent in parents.items() if parent in family}
    return {member: lines[member] for member in family & lines.keys()}


def test_secrets_are_only_in_files_that_their_owner_alone_can_read(team):
    secrets = team.secrets()
    running = command_lines(team.process.pid)

    assert len(secrets[team.folder / "admin.env"]) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    folders = (team.folder, team.folder / "people")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in team.folder.iterdir())
    assert len(running) >= 3
    log = (team.folder / "server.log").read_text()
    visible = "".join([team.output.read_text(), log, *running.values()])
    assert not [path for path, values in secrets.items() for value in values if value in visible]


def test_people_with_the_role_log_others_only_read_and_strangers_see_nothing(team):
    with client(team.url, "ann", team.password("ann")):
        writer = MlflowClient()
        experiment = writer.create_experiment("letters")
        run = writer.create_run(experiment)
        run_id = run.info.run_id
        address = f"{run.info.artifact_uri}/labels/first.txt"
        writer.log_metric(run_id, "macro_f1", 0.5)
        writer.log_text(run_id, "praise", "labels/first.txt")
        assert load_text(address) == "praise"

    with client(team.url, "ben", team.password("ben")):
        reader = MlflowClient()
        assert reader.search_runs([experiment])[0].data.metrics == {"macro_f1": 0.5}
        assert load_text(address) == "praise"
        for refused in (
            lambda: reader.create_run(experiment),
            lambda: reader.log_metric(run_id, "macro_f1", 1.0),
            lambda: reader.log_text(run_id, "blame", "labels/first.txt"),
            lambda: reader.delete_run(run_id),
        ):
            with pytest.raises(
                (MlflowException, requests.HTTPError), match=r"403|Permission denied"
            ):
                refused()
        # MLflow lets every user make experiments and prompts of their own.
        own = reader.create_experiment("ben's own")
        register_prompt("bens", "Sort it.")

    with client(team.url, "ann", team.password("ann")):
        writer.log_metric(writer.create_run(own).info.run_id, "macro_f1", 0.7)
        assert register_prompt("bens", "Sort it well.").version == 2
        assert load_text(address) == "praise"

    _check_that_strangers_are_refused(team, experiment, run_id)


@pytest.mark.parametrize("who", ["ben", "ann", "admin"])
def test_nobody_makes_an_experiment_whose_files_are_outside_the_artifact_store(team, tmp_path, who):
    is_admin = who == "admin"
    password = team.secrets()[team.folder / "admin.env"][0] if is_admin else team.password(who)
    places = [
        f"file://{tmp_path}",
        f"file://localhost{tmp_path}",
        f"FILE:{tmp_path}",
        str(tmp_path),
        "../outside",
        "outside",
        "s3://bucket/x",
        "dbfs:/x",
        f"%66ile://{tmp_path}",
        f" file://{tmp_path}",
        "mlflow-artifacts://other.example.org/x",
    ]
    for prefix in ("api", "ajax-api"):
        for field in ("artifact_location", "artifactLocation"):
            for place in places:
                answer = requests.post(
                    f"{team.url}/{prefix}/2.0/mlflow/experiments/create",
                    json={"name": f"{who} {prefix} {field} {place}", field: place},
                    auth=(who, password),
                    timeout=30,
                )
                assert answer.status_code == 400, (place, answer.text)
                assert "artifact_location" in answer.text
    assert list(tmp_path.iterdir()) == []


def test_no_model_version_leads_the_server_to_files_elsewhere(team):
    with client(team.url, "ben", team.password("ben")):
        registry = MlflowClient()
        registry.create_registered_model("bens-model")
        for source in ("file:///etc", "/etc", "s3://bucket/x", "gs://bucket/x", "dbfs:/x"):
            with pytest.raises(MlflowException, match="INVALID_PARAMETER_VALUE"):
                registry.create_model_version("bens-model", source)
        own = registry.create_experiment("ben's model")
        run_id = registry.create_run(own).info.run_id
        registry.log_text(run_id, "x", "model/MLmodel")
        uri = f"{registry.get_run(run_id).info.artifact_uri}/model"
        assert registry.create_model_version("bens-model", uri, run_id).version in (1, "1")


def _check_that_strangers_are_refused(team, experiment, run_id):
    """Every way to read fails without a password, with a wrong one, and under a foreign name."""
    artifact = f"2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/labels/first.txt"
    for path in (
        "",
        "api/2.0/mlflow/experiments/search?max_results=9",
        f"api/2.0/mlflow/runs/get?run_id={run_id}",
        f"api/{artifact}",
        f"ajax-api/{artifact}",
        f"get-artifact?run_id={run_id}&path=labels/first.txt",
        "api/2.0/mlflow/registered-models/search",
        "api/3.0/mlflow/users/roles/list?username=ann",
    ):
        url = f"{team.url}/{path}"
        assert requests.get(url, timeout=30).status_code == 401, path
        wrong = ("admin", "a wrong password")
        assert requests.get(url, timeout=30, auth=wrong).status_code == 401, path
    query = {"query": "{ test }"}
    assert requests.post(f"{team.url}/graphql", json=query, timeout=30).status_code == 401
    foreign = requests.get(
        f"{team.url}/",
        timeout=30,
        headers={"Host": f"evil.example:{team.port}"},
        auth=("ann", team.password("ann")),
    )
    assert foreign.status_code == 403
    assert "Invalid Host header" in foreign.text


def test_a_second_start_keeps_secrets_and_runs_and_the_end_leaves_no_process(team):
    secrets = team.secrets()
    before = command_lines(team.process.pid)
    with client(team.url, "ann", team.password("ann")):
        MlflowClient().create_experiment("kept")

    # Ctrl-C is ignored by processes in the background of a shell; the server respects that.
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert team.stop(signal.SIGTERM if is_ignored else signal.SIGINT) == 0
    time.sleep(0.2)
    assert not [process_id for process_id in before if Path(f"/proc/{process_id}").exists()]
    team.start()

    assert team.secrets() == secrets
    with client(team.url, "ann", team.password("ann")):
        assert MlflowClient().get_experiment_by_name("kept")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--port", "５０００", "must be a whole number in digits 0 to 9"),
        ("--workers", "1_0", "must be a whole number in digits 0 to 9"),
        ("--workers", "inf", "must be a whole number in digits 0 to 9"),
        ("--workers", "1000000", "must be a whole number in digits 0 to 9"),
        ("--workers", "0", "--workers must be from 1 to 64; got 0"),
        ("--workers", "65", "--workers must be from 1 to 64; got 65"),
        ("--port", "65536", "--port must be from 1 to 65535; got 65536"),
    ],
)
def test_numbers_that_no_server_can_have_are_refused(
    option, value, message, monkeypatch, capsys, tmp_path
):
    folder = tmp_path / "none"
    monkeypatch.setattr(sys, "argv", ["server", "--folder", str(folder), option, value])
    umask, handlers = os.umask(0), {number: signal.getsignal(number) for number in END_SIGNALS}
    try:
        with pytest.raises(SystemExit) as ended:
            server_main()
    finally:
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)

    assert ended.value.code == 2
    assert message in "".join(capsys.readouterr())
    assert not folder.exists()


def test_experiments_of_before_with_files_elsewhere_are_named(store):
    MlflowClient().create_experiment("old", artifact_location=f"file://{store}/elsewhere")
    MlflowClient().create_experiment("fine", artifact_location="mlflow-artifacts:/7")

    named = [name for name in foreign_experiments() if "Default" not in name]
    assert named == [f"'old' (id 1): file://{store}/elsewhere"]


def test_a_server_that_others_reach_needs_the_names_by_which_they_call_it():
    assert server_address("127.0.0.1", 5000, "").public_url == "http://127.0.0.1:5000"
    behind_proxy = server_address("127.0.0.1", 5000, "mlflow.example.org")
    assert behind_proxy.public_url == "https://mlflow.example.org"
    open_to_all = server_address(ALL_ADDRESSES, 5000, "lab, other.example.org")
    assert open_to_all.url == "http://127.0.0.1:5000"
    assert open_to_all.public_url == "http://lab:5000"
    names = {"lab", "lab:5000", "other.example.org:5000", "127.0.0.1:5000"}
    assert names <= set(open_to_all.allowed_hosts)
    assert "https://other.example.org" in open_to_all.allowed_origins
    assert server_address("::1", 5000, "").url == "http://[::1]:5000"
    with pytest.raises(AssayError, match="--allowed_hosts must list the names"):
        server_address(ALL_ADDRESSES, 5000, "")
    with pytest.raises(AssayError, match="--host must be an address"):
        server_address("mlflow.example.org", 5000, "mlflow.example.org")
