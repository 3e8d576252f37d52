"""The preflight finds in one line, before anything is computed, what a store will refuse.

Against real servers and databases.
"""

import os
import sys
import time
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from entrypoints import annotate, finetune, main, sweep
from project.support.errors import AssayError, Incomplete
from project.support.files import check_writable
from project.tracking import discard_unused_run, findings, preflight, root_run, unused
from project.tracking.doctor.roles import add_user
from tests.helpers import forked, servers
from tests.helpers.preflights import active_runs, all_runs, preflight_error

pytestmark = pytest.mark.xdist_group("preflight")  # one server for the file


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """A server with users: ann may not log to the admin's experiment ``shared``, bob may."""
    with servers.tracking_server(tmp_path_factory.mktemp("team"), auth=True) as server:
        server.user("ann", "the password of ann")
        server.user("bob", "the password of bob", "annotators")
        with servers.client(server.url, *server.admin):
            MlflowClient().create_experiment("shared")
        yield server


def content(server):
    """All experiments of a server by name, with the ids of their runs."""
    with servers.client(server.url, *server.admin):
        names = [each.name for each in MlflowClient().search_experiments(ViewType.ALL)]
        return {name: [run.info.run_id for run in all_runs(name)] for name in names}


def test_a_refused_command_of_a_user_who_may_not_delete_runs_ends_as_killed(team, monkeypatch):
    with servers.client(team.url, "bob", "the password of bob"):
        client = MlflowClient()
        experiment = client.get_experiment_by_name("shared")
        assert experiment is not None
        run = client.create_run(
            experiment.experiment_id, tags={"mlflow.project.entryPoint": "main"}
        )
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        monkeypatch.setattr(unused, "_start_deleting", lambda run_id: None)
        assert discard_unused_run("main", refusal="epochs must be a number.")
        client.set_terminated(run.info.run_id, "FAILED")  # as mlflow run does
        unused.delete_when_ended(run.info.run_id)
        left = client.get_run(run.info.run_id)

    assert (left.info.status, left.info.lifecycle_stage) == ("KILLED", "active")
    assert left.data.tags["assay.refused"] == "epochs must be a number."
    with servers.client(team.url, *team.admin):
        MlflowClient().delete_run(run.info.run_id)  # other tests count the runs


def test_a_preflight_on_sqlite_leaves_no_visible_run_no_file_and_no_note(store):
    assert preflight(store / "work") == []

    (run,) = all_runs("assay")
    assert (run.info.run_name, run.info.lifecycle_stage) == ("preflight", "deleted")
    assert run.info.status == "FINISHED"
    assert not list((store / "mlruns").rglob("*.txt"))
    assert not (store / "work").exists()
    began = time.process_time()  # of this process: other programs may keep the machine busy
    assert [finding.part for finding in findings(store / "work")] == [
        "store",
        "experiment",
        "permission",
        "artifacts",
    ]
    assert time.process_time() - began < 1


KILLED = """
import os
from pathlib import Path
from project.tracking import preflight
from project.tracking.doctor import preflight as module

module._send_and_fetch = lambda *_: os._exit(9)
preflight(Path("work"))
"""


def test_a_preflight_that_is_killed_leaves_no_running_run(store):
    done = forked.run([sys.executable, "-c", KILLED], cwd=store, env=with_code())
    assert done.returncode == 9

    (run,) = all_runs("assay")
    assert (run.info.status, run.info.lifecycle_stage) == ("FINISHED", "active")
    assert preflight(store / "work") == []
    assert {run.info.status for run in all_runs("assay")} == {"FINISHED"}


def test_a_preflight_ends_the_run_of_one_that_was_killed_when_it_had_just_made_it(store):
    assert preflight(store / "work") == []
    client = MlflowClient()
    (deleted,) = all_runs("assay")
    tags = {name: text for name, text in deleted.data.tags.items() if "preflight" in text}
    long_ago = int(time.time() * 1000) - 120_000
    user = deleted.data.tags["mlflow.user"]
    left = client.create_run(
        deleted.info.experiment_id, start_time=long_ago, tags={**tags, "mlflow.user": user}
    )
    assert preflight(store / "work") == []

    assert client.get_run(left.info.run_id).info.status == "FINISHED"
    assert len(all_runs("assay")) == 2


def with_code():
    """The environment with the project's code on the path."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_under_mlflow_run_its_run_is_used_and_no_other_is_made(store, monkeypatch):
    created = MlflowClient().create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", created.info.run_id)

    assert preflight(store) == []

    assert MlflowClient().get_experiment_by_name("assay") is None
    (run,) = all_runs("Default")
    assert (run.info.run_id, run.info.lifecycle_stage) == (created.info.run_id, "active")
    assert [file.path for file in MlflowClient().list_artifacts(created.info.run_id)] == [
        "preflight.txt"
    ]
    with root_run("experiment", "one", {}) as tracker:
        assert tracker.run_id == created.info.run_id


def test_an_unreachable_server_is_reported_at_once_and_without_the_password():
    began = time.perf_counter()
    with servers.client("http://me:the-secret@word@127.0.0.1:9"):
        message = preflight_error(Incomplete)

    assert message.startswith(
        "the tracking store http://127.0.0.1:9 cannot be used: Connection refused. "
        "Start or repair it, or correct MLFLOW_"
    )
    assert "secret" not in message
    assert time.perf_counter() - began < 3
    with servers.client("http://me:the/secret@127.0.0.1:9"):
        message = preflight_error()
    assert "MLFLOW_TRACKING_URI is not an address" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        (
            "ann",
            "not her password",
            "does not know the user 'ann' with that password. "
            "Correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (
            "ann",
            "",
            "refuses you: MLFLOW_TRACKING_PASSWORD is not set. Set MLFLOW_TRACKING_USERNAME",
        ),
        (
            "",
            "",
            "refuses you: it asks for a user name. Set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN).",
        ),
    ],
)
def test_an_unknown_user_is_told_which_variables_to_set(team, user, password, expected):
    before = content(team)
    with servers.client(team.url, user, password):
        message = preflight_error()

    assert expected in message
    assert "not her password" not in message
    assert content(team) == before


def test_a_token_is_refused_by_a_server_that_asks_for_names_with_the_way_out(team):
    with servers.client(team.url, MLFLOW_TRACKING_TOKEN="the token of nobody"):
        message = preflight_error()

    assert (
        "fails with the token in MLFLOW_TRACKING_TOKEN, as servers do that ask for a name and a "
        "password. Unset it"
    ) in message


def test_a_user_who_cannot_be_given_the_role_is_removed_again(team, monkeypatch):
    from mlflow.server.auth.client import AuthServiceClient

    def fail(*_):
        raise MlflowException("the server is gone.")

    with servers.client(team.url, *team.admin):
        with (
            monkeypatch.context() as patch,
            pytest.raises(
                AssayError, match="the user 'zoe' cannot be made at .*: the server is gone"
            ),
        ):
            patch.setattr(AuthServiceClient, "assign_role", fail)
            add_user("zoe", "the password of zoe")
        add_user("zoe", "the password of zoe")
        with pytest.raises(AssayError, match="the user 'zoe' cannot be made .*: the name exists"):
            add_user("zoe", "another password")
    with servers.client(team.url, "zoe", "the password of zoe"):
        assert MlflowClient().search_experiments()


def test_a_user_without_permission_writes_nothing_and_is_told_which_one_is_missing(team):
    before = content(team)
    with servers.client(team.url, "ann", "the password of ann", MLFLOW_EXPERIMENT_NAME="shared"):
        message = preflight_error()

    assert (
        f"'ann' may not write to the experiment 'shared' of the tracking server {team.url}: "
        "that takes the permission EDIT. Ask its maker"
    ) in message
    assert content(team) == before


def test_the_run_of_mlflow_run_stays_unchanged_for_a_user_without_permission(team):
    with servers.client(team.url, *team.admin):
        (shared,) = MlflowClient().search_experiments(filter_string="name = 'shared'")
        run = MlflowClient().create_run(shared.experiment_id)
    before = content(team)
    with servers.client(team.url, "ann", "the password of ann", MLFLOW_RUN_ID=run.info.run_id):
        assert "may not write to the experiment 'shared'" in preflight_error()

    assert content(team) == before
    with servers.client(team.url, *team.admin):
        assert "assay.preflight" not in MlflowClient().get_run(run.info.run_id).data.tags
        assert MlflowClient().list_artifacts(run.info.run_id) == []
        MlflowClient().delete_run(run.info.run_id)


def test_a_user_s_own_experiment_holds_no_visible_run_after_the_preflight(team):
    with servers.client(team.url, "ann", "the password of ann", MLFLOW_EXPERIMENT_NAME="of ann"):
        began = time.perf_counter()
        assert preflight(Path("work")) == []
        seconds = time.perf_counter() - began
        assert active_runs("of ann") == []
        assert len(all_runs("of ann")) == 1

    # The server checks a password slowly, by design, until it has it in its cache.
    assert seconds < 3


def test_a_user_who_may_not_delete_has_one_run_that_is_used_again(team, monkeypatch):
    monkeypatch.setattr(
        "project.tracking.doctor.preflight._ABANDONED_MS", -60_000
    )  # any run is old enough
    with servers.client(team.url, "bob", "the password of bob", MLFLOW_EXPERIMENT_NAME="shared"):
        assert preflight(Path("work")) == []
        (run,) = active_runs("shared")
        assert (run.info.run_name, run.info.status, run.data.tags["mlflow.user"]) == (
            "preflight",
            "FINISHED",
            "bob",
        )
        assert (
            "The run is deleted if that is allowed, else used again."
            in run.data.tags["mlflow.note.content"]
        )
        assert preflight(Path("work")) == []
        assert [again.info.run_id for again in active_runs("shared")] == [run.info.run_id]


def test_a_host_name_that_the_server_refuses_is_reported_with_the_way_out(team):
    port = team.port
    with servers.client(f"http://127.1:{port}", *team.admin):  # another name of the same address
        assert preflight_error() == (
            f"the tracking server http://127.1:{port} refuses the Host header: it was not started "
            f"for that name. Start it with --allowed-hosts 127.1,127.1:{port} and all "
            "its other names."
        )


def test_a_server_that_cannot_write_its_artifacts_is_found(team):
    with servers.client(team.url, *team.admin, MLFLOW_EXPERIMENT_NAME="without files"):
        experiment_id = MlflowClient().create_experiment("without files")
        (team.folder / "artifacts").mkdir(exist_ok=True)
        (team.folder / "artifacts" / experiment_id).write_text("where the folder should be")
        message = preflight_error(Incomplete)

        assert (
            "artifacts of the experiment 'without files' cannot be kept at "
            f"mlflow-artifacts:/{experiment_id}/"
        ) in message
        assert "it answers 500 Internal Server Error. The server keeps them" in message
        assert "at its --artifacts-destination: make sure that it can write there" in message
        assert active_runs("without files") == []


def test_artifacts_that_cannot_be_written_to_this_disk_are_found(store):
    (store / "mlruns").write_text("where the folder should be")

    message = preflight_error(Incomplete)

    assert "artifacts of the experiment 'assay' cannot be kept at " in message
    assert "Make sure that you may write there" in message
    assert active_runs("assay") == []


def test_another_path_of_a_server_is_not_an_mlflow_server(team):
    with servers.client(f"{team.url}/mlflow", *team.admin):
        message = preflight_error()

    assert (
        "is not an MLflow server, or is a login page in front of one. Correct MLFLOW_TRACKING_URI."
    ) in message


@pytest.mark.parametrize("name", ["MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"])
def test_an_experiment_or_run_that_does_not_exist_is_named(store, monkeypatch, name):
    monkeypatch.setenv(name, "77")

    message = preflight_error()

    assert "id=77" in message
    assert "Correct MLFLOW_EXPERIMENT_ID, MLFLOW_RUN_ID or MLFLOW_TRACKING_URI." in message


def test_a_deleted_experiment_is_refused_with_the_way_to_restore_it(store):
    MlflowClient().delete_experiment(MlflowClient().create_experiment("assay"))

    assert (
        "is deleted. Name another in MLFLOW_EXPERIMENT_NAME, or restore it: "
        "mlflow experiments restore --experiment-id 1"
    ) in preflight_error()


def test_a_workspace_that_cannot_be_made_is_refused_before_the_store_is_used(store):
    (store / "file").write_text("")

    with pytest.raises(NotADirectoryError, match="file"):
        preflight(store / "file" / "work")
    assert MlflowClient().get_experiment_by_name("assay") is None
    check_writable(store / "not" / "yet")
    assert not (store / "not").exists()


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("main", main.experiment),
        ("annotate", annotate.annotate),
        ("finetune", finetune.finetune),
        ("sweep", sweep.sweep),
    ],
)
def test_entry_points_with_a_root_run_check_the_store_before_they_read_the_data(params, name, run):
    values = params(name, data="not-there.csv")
    with (
        servers.client("http://127.0.0.1:9"),
        pytest.raises(Incomplete, match="127.0.0.1:9 cannot be used: Connection refused"),
    ):
        run(values)
    with pytest.raises(AssayError, match="data file not-there.csv does not exist"):
        run(values)
