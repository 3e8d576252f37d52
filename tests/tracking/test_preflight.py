"""What a tracking store refuses, and that it is said in one line before anything is computed. Real servers and databases."""

import time
from pathlib import Path

import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from entrypoints import annotate, finetune, main, sweep
from project.support.errors import AssayError, Incomplete
from project.support.files import check_writable
from project.tracking import findings, preflight, root_run
from project.tracking.doctor.roles import add_user
from tests.helpers import servers
from tests.helpers.preflights import active_runs, all_runs, preflight_error

pytestmark = pytest.mark.xdist_group("preflight")  # its servers are started once


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """A server that asks who one is, with one experiment of the admin's, one user who may not log there, and one who may."""
    with servers.tracking_server(tmp_path_factory.mktemp("team"), auth=True) as server:
        server.user("ann", "the password of ann")
        server.user("bob", "the password of bob", "annotators")
        with servers.client(server.url, *server.admin):
            MlflowClient().create_experiment("shared")
        yield server


def held(server):
    """All that a server holds: names of experiments, and their runs."""
    with servers.client(server.url, *server.admin):
        names = [one.name for one in MlflowClient().search_experiments(ViewType.ALL)]
        return {name: [run.info.run_id for run in all_runs(name)] for name in names}


def test_all_well_on_sqlite_leaves_no_visible_run_no_file_and_no_note(store):
    assert preflight(store / "work") == []

    (run,) = all_runs("assay")
    assert (run.info.run_name, run.info.lifecycle_stage) == ("preflight", "deleted")
    assert not list((store / "mlruns").rglob("*.txt"))
    assert not (store / "work").exists()
    began = time.perf_counter()
    assert [found.part for found in findings(store / "work")] == [
        "store",
        "experiment",
        "permission",
        "artifacts",
    ]
    assert time.perf_counter() - began < 1


def test_the_run_of_mlflow_run_is_written_to_and_no_other_is_made(store, monkeypatch):
    made = MlflowClient().create_run("0")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)

    assert preflight(store) == []

    assert MlflowClient().get_experiment_by_name("assay") is None
    (run,) = all_runs("Default")
    assert (run.info.run_id, run.info.lifecycle_stage) == (made.info.run_id, "active")
    assert [file.path for file in MlflowClient().list_artifacts(made.info.run_id)] == [
        "preflight.txt"
    ]
    with root_run("experiment", "one", {}) as tracker:
        assert tracker.run_id == made.info.run_id


def test_an_unreachable_server_is_said_at_once_and_without_the_password():
    began = time.perf_counter()
    with servers.client("http://me:the-secret@word@127.0.0.1:9"):
        message = preflight_error(Incomplete)

    assert message.startswith(
        "the tracking store http://127.0.0.1:9 cannot be used: Connection refused. Start it or mend it, or correct MLFLOW_"
    )
    assert "secret" not in message
    assert time.perf_counter() - began < 3
    with servers.client("http://me:the/secret@127.0.0.1:9"):
        assert "MLFLOW_TRACKING_URI is no address" in (message := preflight_error())
    assert "secret" not in message


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        (
            "ann",
            "not her password",
            "does not know 'ann' with that password. Correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (
            "ann",
            "",
            "refuses you: MLFLOW_TRACKING_PASSWORD is not set. Set MLFLOW_TRACKING_USERNAME",
        ),
        (
            "",
            "",
            "refuses you: it asks who you are. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN).",
        ),
    ],
)
def test_whoever_the_server_does_not_know_is_told_which_variables(team, user, password, message):
    before = held(team)
    with servers.client(team.url, user, password):
        said = preflight_error()

    assert message in said
    assert "not her password" not in said
    assert held(team) == before


def test_a_token_for_a_server_that_asks_for_names_is_told(team):
    with servers.client(team.url, MLFLOW_TRACKING_TOKEN="the token of nobody"):
        assert (
            "fails at what is in MLFLOW_TRACKING_TOKEN, as one does that asks for names and passwords. Unset it"
            in preflight_error()
        )


def test_a_person_who_cannot_be_given_the_role_is_not_left_half_made(team, monkeypatch):
    from mlflow.server.auth.client import AuthServiceClient

    def fail(*_):
        raise MlflowException("the server is gone.")

    with servers.client(team.url, *team.admin):
        with (
            monkeypatch.context() as patch,
            pytest.raises(
                AssayError, match="the person 'zoe' cannot be made at .*: the server is gone"
            ),
        ):
            patch.setattr(AuthServiceClient, "assign_role", fail)
            add_user("zoe", "the password of zoe")
        add_user("zoe", "the password of zoe")
        with pytest.raises(AssayError, match="there is one of this name already"):
            add_user("zoe", "another password")
    with servers.client(team.url, "zoe", "the password of zoe"):
        assert MlflowClient().search_experiments()


def test_a_user_without_rights_writes_nothing_and_is_told_which_right_is_lacking(team):
    before = held(team)
    with servers.client(team.url, "ann", "the password of ann", MLFLOW_EXPERIMENT_NAME="shared"):
        said = preflight_error()

    assert (
        f"'ann' may not write to the experiment 'shared' of the tracking server {team.url}: that takes the permission EDIT. Ask whoever"
        in said
    )
    assert held(team) == before


def test_a_run_given_to_a_user_without_rights_is_left_as_it_is(team):
    with servers.client(team.url, *team.admin):
        (shared,) = MlflowClient().search_experiments(filter_string="name = 'shared'")
        run = MlflowClient().create_run(shared.experiment_id)
    before = held(team)
    with servers.client(team.url, "ann", "the password of ann", MLFLOW_RUN_ID=run.info.run_id):
        assert "may not write to the experiment 'shared'" in preflight_error()

    assert held(team) == before
    with servers.client(team.url, *team.admin):
        assert "assay.preflight" not in MlflowClient().get_run(run.info.run_id).data.tags
        assert MlflowClient().list_artifacts(run.info.run_id) == []
        MlflowClient().delete_run(run.info.run_id)


def test_who_may_make_an_experiment_of_their_own_has_it_and_no_visible_run(team):
    with servers.client(team.url, "ann", "the password of ann", MLFLOW_EXPERIMENT_NAME="of ann"):
        began = time.perf_counter()
        assert preflight(Path("work")) == []
        took = time.perf_counter() - began
        assert active_runs("of ann") == []
        assert len(all_runs("of ann")) == 1

    assert (
        took < 3
    )  # each request of a password that the server does not know yet is costly, by design


def test_who_may_not_delete_has_one_run_that_is_used_again(team):
    with servers.client(team.url, "bob", "the password of bob", MLFLOW_EXPERIMENT_NAME="shared"):
        assert preflight(Path("work")) == []
        (run,) = active_runs("shared")
        assert (run.info.run_name, run.info.status, run.data.tags["mlflow.user"]) == (
            "preflight",
            "FINISHED",
            "bob",
        )
        assert (
            "It is deleted where that is allowed, and else used again."
            in run.data.tags["mlflow.note.content"]
        )
        assert preflight(Path("work")) == []
        assert [again.info.run_id for again in active_runs("shared")] == [run.info.run_id]


def test_a_host_name_that_the_server_does_not_go_by_is_told_with_its_cure(team):
    port = team.port
    with servers.client(f"http://127.1:{port}", *team.admin):  # another name of the same address
        assert preflight_error() == (
            f"the tracking server http://127.1:{port} does not go by that name: it refuses the Host header. "
            f"Start it with --allowed-hosts 127.1,127.1:{port} and every other name that it goes by."
        )


def test_artifacts_that_the_server_cannot_keep_are_found_out(team):
    with servers.client(team.url, *team.admin, MLFLOW_EXPERIMENT_NAME="without files"):
        experiment_id = MlflowClient().create_experiment("without files")
        (team.folder / "artifacts").mkdir(exist_ok=True)
        (team.folder / "artifacts" / experiment_id).write_text("where the folder should be")
        said = preflight_error(Incomplete)

        assert (
            f"artifacts of the experiment 'without files' cannot be kept at mlflow-artifacts:/{experiment_id}/"
            in said
        )
        assert "it answers 500 Internal Server Error. The server keeps them" in said
        assert "at its --artifacts-destination: see that it can write there" in said
        assert active_runs("without files") == []


def test_artifacts_that_cannot_be_written_on_this_disk_are_found_out(store):
    (store / "mlruns").write_text("where the folder should be")

    said = preflight_error(Incomplete)

    assert "artifacts of the experiment 'assay' cannot be kept at " in said
    assert "See that you may write there" in said
    assert active_runs("assay") == []


def test_a_server_at_another_path_is_no_mlflow_server(team):
    with servers.client(f"{team.url}/mlflow", *team.admin):
        assert (
            "is no MLflow server, or a login page before it. Correct MLFLOW_TRACKING_URI."
            in preflight_error()
        )


@pytest.mark.parametrize("name", ["MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"])
def test_an_experiment_or_a_run_that_is_not_there_is_named(store, monkeypatch, name):
    monkeypatch.setenv(name, "77")

    assert "id=77" in (said := preflight_error())
    assert "Correct MLFLOW_EXPERIMENT_ID, MLFLOW_RUN_ID or MLFLOW_TRACKING_URI." in said


def test_a_deleted_experiment_is_refused_with_the_way_back(store):
    MlflowClient().delete_experiment(MlflowClient().create_experiment("assay"))

    assert (
        "is deleted. Name another with MLFLOW_EXPERIMENT_NAME, or restore it: mlflow experiments restore --experiment-id 1"
        in preflight_error()
    )


def test_a_workspace_that_cannot_be_made_is_refused_before_the_store_is_asked(store):
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
def test_every_entry_point_that_opens_a_root_run_asks_the_store_before_it_reads_the_data(
    params, name, run
):
    given = params(name, data="not-there.csv")
    with (
        servers.client("http://127.0.0.1:9"),
        pytest.raises(Incomplete, match="127.0.0.1:9 cannot be used: Connection refused"),
    ):
        run(given)
    with pytest.raises(AssayError, match="data file not-there.csv does not exist"):
        run(given)
