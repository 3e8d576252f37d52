"""Human labels aimed at the confirmed zones of an experiment: an audit, and the arm zones."""

import numpy as np
import pandas as pd
import pytest

from analysis.questions.zone_aim import aim_at, confirmed_zones
from entrypoints import ask, main
from project.config.loading import defaults
from project.data.rows import text_ids
from project.support.errors import AssayError
from tests.helpers.sections import GOLD
from tests.helpers.stored import LABELS, examples, log_experiment, noisy

ODD = np.random.default_rng(5).random(900) < 0.3
"""Texts with a negation, in which the LLM of the experiment is wrong more often."""
N_NEW = 400


def sentences(numbers, odd):
    """Texts, those of ``odd`` with a negation."""
    return [
        f"It never was {number}." if of_zone else f"It today was {number}."
        for number, of_zone in zip(numbers, odd, strict=True)
    ]


def experiment(store, share_within=0.5):
    """An experiment in which the LLM is wrong so often within ``ODD``, else in 5 %."""
    random = np.random.default_rng(0)
    wrong = random.random(900) < np.where(ODD, share_within, 0.05)
    rows = examples(GOLD)
    rows = rows[rows["split"] == "test"].assign(text=sentences(range(900), ODD))
    llm = np.where(wrong, (GOLD + 1) % 3, GOLD)
    arms = {"gold": noisy(GOLD, 0.9)}
    return rows, log_experiment(store, GOLD, arms, llm=llm, table=rows)


def corpus(store):
    """A file of other texts with labels of the LLM, and which of them have a negation."""
    odd = np.random.default_rng(8).random(N_NEW) < 0.2
    table = pd.DataFrame({"text": sentences(range(2000, 2000 + N_NEW), odd)})
    table["llm"] = np.random.default_rng(9).choice(list(LABELS), N_NEW)
    table.to_csv(store / "corpus.csv", index=False)
    return table, odd


def asked(store, run_id, **changes):
    """Run ask with design=zones; the written sampling."""
    given = {
        "data": str(store / "corpus.csv"),
        "labels": ",".join(LABELS),
        "annotator": "recorded",
        "recorded_columns": "llm",
        "design": "zones",
        "zones": run_id,
        "n": "120",
        "workspace": str(store / "work"),
    }
    ask.ask({**defaults("ask"), **given, **changes})
    (folder,) = (store / "work" / "questions").iterdir()
    return pd.read_parquet(folder / "sampling.parquet")


def test_an_audit_of_zones_takes_more_of_them_with_the_probabilities_it_stores(store, capsys):
    _, run_id = experiment(store)
    table, odd = corpus(store)

    sampling = asked(store, run_id)

    probability = sampling["inclusion_probability"].to_numpy()
    assert (probability > 0).all()
    assert probability.sum() == pytest.approx(120)
    within = probability == probability.max()
    assert set(sampling["example_id"][within]) == set(text_ids(table["text"][odd]))
    for stratum in (within, ~within):
        share = sampling["asked"][stratum].mean()
        assert probability[stratum] == pytest.approx(share)
    # Neyman: shares of wrong labels of about 1/2 and 1/20, spreads of about 0.5 and 0.22.
    assert probability[within][0] / probability[~within][0] == pytest.approx(0.5 / 0.22, rel=0.2)
    output = capsys.readouterr().err
    assert "zones: any negations" in output
    assert "-P audit_design=" in output


def test_an_experiment_without_a_confirmed_zone_aims_at_nothing(store):
    _, run_id = experiment(store, share_within=0.05)
    corpus(store)

    with pytest.raises(AssayError, match="zones must name an experiment with a confirmed zone; "):
        asked(store, run_id)


def test_zones_of_other_labels_or_of_all_texts_are_refused(store):
    _, run_id = experiment(store)
    table, odd = corpus(store)
    with pytest.raises(AssayError, match=f"with the same labels, x, y; {run_id} has a, b, c"):
        asked(store, run_id, labels="x,y")
    table[odd].to_csv(store / "corpus.csv", index=False)
    with pytest.raises(AssayError, match="zones must divide the pool; ") as refused:
        asked(store, run_id, n="20")
    assert "any negations" in str(refused.value)


def test_zones_are_the_same_in_the_experiments_own_texts_and_told_in_others(store):
    test, run_id = experiment(store)
    answers = pd.DataFrame({"label": np.array(LABELS)[GOLD], "label_mass": np.nan})
    answers = answers.assign(log_bound=np.nan, **{f"log_probability.{x}": np.nan for x in LABELS})

    aim = aim_at(run_id, test["text"].tolist(), answers)

    assert "any negations" in aim.names
    assert (aim.within == ODD).all()
    assert aim.n_wrong[1] / aim.n[1] > 0.4
    assert aim.n_wrong[0] / aim.n[0] < 0.1
    assert aim.n.sum() < len(confirmed_zones(run_id).labelled.llm)


def test_the_arm_zones_asks_about_texts_of_the_zones_first(store):
    _, run_id = experiment(store)
    table, _ = corpus(store)
    table.assign(label=["a", "b"] * (N_NEW // 2)).to_csv(store / "corpus.csv", index=False)
    card = "name: more\ndescription: More.\nsource: {file: corpus.csv}\nlabels: [a, b, c]\n"
    card += "columns: {text: text, label: label, split: none}\n"
    card += "split: {demonstration: 5, train: 300, validation: 40, test: 50}\n"
    (store / "more.yaml").write_text(card)

    asked(
        store,
        run_id,
        task=str(store / "more.yaml"),
        data="",
        labels="",
        design="arm",
        arms="zones",
        recorded=str(store / "corpus.csv"),
    )

    (folder,) = (store / "work" / "questions").iterdir()
    questions = pd.read_csv(folder / "questions.csv", dtype=str)
    assert len(questions) == 30
    assert questions["text"].str.contains("never").all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arms": "llm,zones"}, "zones_5, zones_25 needs zones=RUN, an experiment with confirmed"),
        ({"arms": "llm,random", "zones": "r"}, "zones must be left out without the arm zones; got"),
    ],
)
def test_zones_without_their_arm_and_the_arm_without_zones_are_refused(params, given, message):
    with pytest.raises(AssayError, match=message):
        main.experiment(params(**given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"design": "zones"}, "design=zones needs zones=RUN"),
        ({"design": "zones", "zones": "r", "stratify": "label"}, "stratify must be none with desi"),
        ({"design": "zones", "zones": "r", "n": "1"}, "n must be at least 2 with design=zones"),
        ({"design": "audit", "zones": "r"}, "zones must be left out with design=audit; got 'r'"),
    ],
)
def test_contradictions_of_designs_are_refused(given, message):
    with pytest.raises(AssayError, match=message):
        ask.ask({**defaults("ask"), **given})
