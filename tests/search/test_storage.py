"""Storages of a study, and that no password reaches a parameter or an error message."""

import pytest

from project.config.designs import SweepConfig
from project.search.storage import dashboard_command, refuse_password
from project.support.errors import AssayError, Incomplete


def test_a_storage_is_a_database_or_a_journal_whose_folder_is_made(open_study, work, tmp_path):
    journal = tmp_path / "shared" / "a.journal"

    assert len(work(open_study(trials=2, sweep_storage=f"sqlite:///{tmp_path}/studies.db"))) == 2
    assert len(work(open_study(trials=2, sweep_storage=str(journal)))) == 2
    assert journal.is_file()


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        ("", "{folder}/sweeps/a-b.journal"),
        ("sqlite:///studies.db", "sqlite:///studies.db"),
        ("/shared/my study.journal", "'/shared/my study.journal'"),
    ],
)
def test_the_command_of_the_dashboard_names_the_storage(tmp_path, monkeypatch, storage, shown):
    monkeypatch.delenv("ASSAY_SWEEP_STORAGE", raising=False)

    command = dashboard_command(SweepConfig(sweep_storage=storage), tmp_path, "a/b")

    assert command.startswith(f"optuna-dashboard {shown.format(folder=tmp_path)}    after: ")


def test_the_command_of_the_dashboard_hides_an_address_with_a_password(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_SWEEP_STORAGE", "postgresql://me:secret@127.0.0.1/db")

    command = dashboard_command(SweepConfig(), tmp_path, "a")

    assert command.startswith('optuna-dashboard "$ASSAY_SWEEP_STORAGE"')


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:secret@127.0.0.1:1/db",
        "postgresql://127.0.0.1/db?user=me&password=secret",
    ],
)
def test_an_address_with_a_password_is_refused_as_a_parameter_without_repeating_it(address):
    with pytest.raises(
        AssayError, match="must hold no user name, no password and no query.*ASSAY_SWEEP_STORAGE"
    ) as refused:
        refuse_password(address)

    assert "secret" not in str(refused.value)


def test_the_error_of_a_storage_that_cannot_be_opened_hides_its_address(
    open_study, tmp_path, monkeypatch
):
    monkeypatch.setenv("ASSAY_SWEEP_STORAGE", f"sqlite:///{tmp_path}/no/such/folder/me:secret@db")

    with pytest.raises(Incomplete, match="storage of the study s cannot be used") as failed:
        open_study()

    assert "secret" not in str(failed.value)
