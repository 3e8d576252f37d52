"""A suite whose labels share one encoder: one training, and a run of each label."""

import pytest

from analysis.questions.suite_scored import read_scored
from analysis.questions.suite_sets import sets_section
from entrypoints.suite import suite
from entrypoints.wiring import suite_processes
from entrypoints.wiring.stored_invocation import read_invocation
from project.config.loading import defaults
from project.support.errors import AssayError
from project.tracking import children
from tests.entrypoints.test_label_sets import write_letters
from tests.helpers import forked

pytestmark = pytest.mark.xdist_group("label-sets")


@pytest.fixture
def given(store, tiny_encoder):
    """A function that returns the parameters of a suite with one encoder, with changes."""
    write_letters(store)

    def make(**changes):
        return {
            **defaults("suite"),
            "tasks": str(store / "letters.yaml"),
            "annotator": "recorded",
            "recorded": str(store / "letters.csv"),
            "recorded_columns": "llm",
            "arms": "gold,llm",
            "encoder": str(tiny_encoder),
            "epochs": "2",
            "seeds": "2",
            "workers": "1",
            "one_encoder": "true",
            "workspace": str(store / "work"),
            **changes,
        }

    return make


@pytest.fixture
def in_this_process(monkeypatch):
    forked.forkserver()
    monkeypatch.setattr(suite_processes, "Popen", forked.Popen)


def test_labels_are_trained_together_and_each_has_its_runs_and_its_part_of_the_sets(
    given, store, in_this_process, capsys
):
    suite(given())
    said = capsys.readouterr()
    scored = read_scored()
    seeds = [
        run
        for entry in scored.entries
        for run in children(entry.judged.scored.experiment.root, "seed")
    ]

    assert "tasks to run: 2, one encoder for the labels of a card, 1 at a time" in said.err
    assert len(seeds) == 2 * 2 * 2  # labels, arms, seeds
    assert {run.params["one_encoder"] for run in seeds} == {"billing, delivery"}
    results = [folder for folder in (store / "work" / "seeds").iterdir() if folder.is_dir()]
    assert len([folder for folder in results if (folder / "result.json").is_file()]) == 8
    histories = {
        (folder / "result.json").read_text() for folder in results if folder.name != "claims"
    }
    assert len(histories) == 4  # one training for both labels
    section = sets_section(scored)
    assert section is not None
    assert set(section.tables[0].frame["source"]) == {"the LLM itself", "gold", "llm"}

    with pytest.raises(AssayError, match="shares its encoder with other labels of its suite"):
        read_invocation(scored.entries[0].judged.scored.experiment.root.run_id)
    suite(given())
    assert "finished already, and not run again: 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "linear"}, "encoder must be one that is fine-tuned with one_encoder=true"),
        ({"until": "decided"}, "until=decided needs one_encoder=false"),
        ({"log_model": "best"}, "log_model must be none with one_encoder=true"),
        (
            {"arms": "llm,forward,evidence", "replace_share": "50"},
            "arms must not hold forward_50, evidence_50 with one_encoder=true",
        ),
    ],
)
def test_what_one_encoder_cannot_do_is_refused(given, in_this_process, changes, message):
    with pytest.raises(AssayError, match=message):
        suite(given(**changes))


def test_one_encoder_needs_a_card_with_several_labels(given, store):
    for name in ("a", "b"):
        card = (store / "letters.yaml").read_text().replace("label_type: multi\n", "")
        (store / f"{name}.yaml").write_text(card.replace("letters\n", f"{name}\n"))
    with pytest.raises(AssayError, match="needs a card with label_type: multi"):
        suite(given(tasks=f"{store / 'a.yaml'},{store / 'b.yaml'}"))
