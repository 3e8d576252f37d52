"""The entry point taxonomy: from texts to labels, what people edit, and what comes next."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.questions.taxonomy_report import publish as publish_page
from analysis.store.taxonomies import read_taxonomy
from entrypoints.ask import ask
from entrypoints.audit import audit
from entrypoints.rerun import rerun
from entrypoints.taxonomy import taxonomy
from project.config.loading import defaults
from project.data.card import load_card
from project.support.errors import AssayError
from project.tracking import (
    all_children,
    children,
    latest_root,
    read_artifact,
    read_run,
    read_table,
)
from tests.helpers import topics

pytestmark = pytest.mark.xdist_group("taxonomy")


def parameters(**changes):
    given = {
        "data": "texts.csv",
        "use_case": "sort letters by the team that answers them",
        "annotator": "topics",
        "taxonomies": "3",
        "taxonomy_texts": "40",
        "batch_texts": "20",
        "stability_texts": "60",
        "summary_words": "4",
        "workspace": "work",
    }
    return {**defaults("taxonomy"), **given, **changes}


def write_texts(n=120, **settings):
    pd.DataFrame({"text": topics.texts(n, **settings)}).to_csv("texts.csv", index=False)


def run(**changes):
    """Run the entry point; the folder with its files."""
    taxonomy(parameters(**changes))
    return Path("work/taxonomies") / latest_root("taxonomy").run_id


@pytest.fixture
def made(store, once):
    """The folder of a finished taxonomy of 120 texts; the counts begin anew."""
    topics.register()

    def make():
        write_texts()
        run()

    once(make)
    topics.COUNTS.update(written=0, labelled=0)
    return Path("work/taxonomies") / latest_root("taxonomy").run_id


def paid():
    """Replies and labels that the model was asked for."""
    return topics.COUNTS["written"], topics.COUNTS["labelled"]


def edit(folder, change):
    """Change the labels of a taxonomy file."""
    path = folder / "taxonomy.yaml"
    content = yaml.safe_load(path.read_text())
    change(content["labels"])
    path.write_text(yaml.safe_dump(content))
    return path


def test_labels_are_proposed_and_all_texts_are_labelled(made):
    labels = pd.read_parquet(made / "labels.parquet")
    card = load_card(str(made / "card.yaml"))

    assert set(card.labels) >= {"Other"}
    assert len(labels) == 120
    assert set(labels["label"]) <= set(card.labels)
    about_weather = labels["text"].str.contains("weather")
    assert (labels["label"][about_weather] == "Other").all()
    assert labels[[f"llm.{name}" for name in card.labels]].sum(axis=1).round(9).eq(1).all()


def test_every_prompt_and_reply_is_in_the_run_of_its_taxonomy(made):
    root = latest_root("taxonomy")
    drafts = children(root, "taxonomy draft")

    assert len(drafts) == 3
    for draft in drafts:
        written = [json.loads(line) for line in read_artifact(draft, "written.jsonl").splitlines()]
        assert len(written) == draft.metrics["replies"]
        assert any("Propose at most 10 labels" in row["prompt"] for row in written)
        assert all(row["text"] for row in written)


def test_the_page_says_how_stable_the_labels_are_and_what_comes_next(made):
    root = read_run(latest_root("taxonomy").run_id)
    page = (made.parents[1] / "reports" / root.run_id / "report.html").read_text()

    assert root.metrics["taxonomy.alpha"] == pytest.approx(1)  # all find the same topics
    assert root.metrics["taxonomy.alpha_chance"] < 0.3
    assert 0.8 < root.metrics["taxonomy.coverage"] < 0.95
    assert "sort the same 60 texts alike to an alpha of 1.00" in page
    assert "-e ask" in page
    assert "card.yaml" in page


def test_the_page_is_made_from_the_store_alone(made, capsys):
    root = latest_root("taxonomy")
    shutil.rmtree("work")

    publish_page(root.run_id, "elsewhere")

    shown = capsys.readouterr().out
    assert "cover" in shown
    assert f"work/taxonomies/{root.run_id}/card.yaml" in shown  # where the run wrote it
    assert len(read_taxonomy(root.run_id).labels) == 120


def test_the_same_command_again_writes_and_asks_nothing(made):
    run()

    assert paid() == (0, 0)


def test_merged_and_renamed_labels_ask_nothing_again(made):
    def merge(labels):
        names = [label["name"] for label in labels]
        labels[:2] = [{"name": "Money and parcels", "definition": "both", "was": names[:2]}]
        labels[-1] = {**labels[-1], "name": "Renamed", "was": [labels[-1]["name"]]}

    before = pd.read_parquet(made / "labels.parquet").set_index("example_id")["label"]
    first, second = list(load_card(str(made / "card.yaml")).labels)[:2]
    folder = run(taxonomy=str(edit(made, merge)))
    after = pd.read_parquet(folder / "labels.parquet").set_index("example_id")["label"]

    assert paid() == (0, 0)
    assert (after[before.isin([first, second])] == "Money and parcels").all()
    assert "Renamed" in set(after)
    assert read_taxonomy().facts["edit"]["n_asked"] == 0


def test_only_the_texts_of_a_dropped_label_are_asked_again(made):
    before = pd.read_parquet(made / "labels.parquet").set_index("example_id")["label"]
    first = load_card(str(made / "card.yaml")).labels[0]
    folder = run(taxonomy=str(edit(made, lambda labels: labels.pop(0))))
    after = pd.read_parquet(folder / "labels.parquet").set_index("example_id")["label"]

    assert topics.COUNTS["labelled"] == (before == first).sum()
    assert (after[before == first] == "Other").all()
    assert (after[before != first] == before[before != first]).all()


def test_an_edit_labels_texts_that_are_new_in_the_file(made):
    table = pd.read_csv("texts.csv")
    more = pd.DataFrame({"text": topics.texts(10, seed=9)})
    pd.concat([table, more.assign(text=more["text"] + " now")]).to_csv("texts.csv", index=False)
    folder = run(taxonomy=str(made / "taxonomy.yaml"))

    assert topics.COUNTS["labelled"] == 10
    assert len(pd.read_parquet(folder / "labels.parquet")) == 130


def test_an_edit_labels_texts_again_that_changed_under_their_id(store):
    topics.register()
    write_texts(40)
    table = pd.read_csv("texts.csv").assign(number=range(40))
    table.to_csv("texts.csv", index=False)
    folder = run(taxonomies="1", id_column="number")
    table.loc[:4, "text"] = [f"new letter {number}: about the courier" for number in range(5)]
    table.to_csv("texts.csv", index=False)
    topics.COUNTS["labelled"] = 0
    folder = run(taxonomy=str(folder / "taxonomy.yaml"), id_column="number")
    labels = pd.read_parquet(folder / "labels.parquet").set_index("example_id")["label"]

    assert topics.COUNTS["labelled"] == 5
    assert set(labels[[str(number) for number in range(5)]]) == {"Delivery"}
    assert read_taxonomy().facts["edit"]["n_new"] == 5


def test_a_dry_run_of_an_edit_counts_the_texts_that_would_be_labelled_again(made, capsys):
    before = pd.read_parquet(made / "labels.parquet")["label"]
    first = load_card(str(made / "card.yaml")).labels[0]
    path = edit(made, lambda labels: labels.pop(0))
    taxonomy(parameters(taxonomy=str(path), use_case="", dry_run="true"))

    assert paid() == (0, 0)
    assert f"in all: {(before == first).sum()} requests" in capsys.readouterr().err


def test_an_edit_whose_file_changed_since_is_not_run_again(made):
    folder = run(taxonomy=str(edit(made, lambda labels: labels.pop(0))))
    edit(made, lambda labels: labels.pop(0))

    with pytest.raises(AssayError, match=r"cannot be run again: .*taxonomy"):
        rerun({**defaults("rerun"), "run_id": folder.name})


def test_people_label_a_sample_blindly_and_their_labels_judge_the_llm(made):
    shared = {
        "task": str(made / "card.yaml"),
        "data": "texts.csv",
        "annotator": "recorded",
        "recorded": str(made / "labels.parquet"),
        "recorded_columns": "llm",
        "workspace": "work",
    }
    ask({**defaults("ask"), **shared, "design": "audit", "n": "60"})
    (sheet,) = made.parents[1].glob("questions/*/questions.csv")
    table = pd.read_csv(sheet)
    assert "llm" not in " ".join(table.columns).lower()
    names = list(load_card(str(made / "card.yaml")).labels)

    def person(text):
        topic = topics.topic_of(text)
        return next((name for name in names if topic and topic in name), "Other")

    table.assign(label=table["text"].map(person)).to_csv("people.csv", index=False)
    answers = {"human": "people.csv", "audit_design": str(sheet.parent / "sampling.parquet")}
    audit({**defaults("audit"), **shared, **answers})

    assert read_run(latest_root("audit").run_id).metrics["audit.llm.accuracy"] == pytest.approx(1)


def test_one_taxonomy_has_no_stability(store):
    topics.register()
    write_texts(40)
    run(taxonomies="1")
    root = read_run(latest_root("taxonomy").run_id)

    assert "taxonomy.alpha" not in root.metrics
    assert "taxonomy.coverage" in root.metrics


def test_a_private_run_stores_hashes_of_texts_prompts_and_replies(store):
    topics.register()
    write_texts(40)
    folder = run(private="true", taxonomies="1")
    root = latest_root("taxonomy")
    (draft,) = children(root, "taxonomy draft")

    assert b"letter" not in read_artifact(draft, "written.jsonl").replace(b" letters", b"")
    assert read_table(root.run_id, "labels.parquet")["text"].str.startswith("sha256:").all()
    assert pd.read_parquet(folder / "labels.parquet")["text"].str.startswith("letter").all()


def test_a_run_that_was_stopped_in_the_middle_of_writing_pays_for_no_reply_twice(store):
    topics.register()
    write_texts()
    topics.COUNTS["until"] = 50
    with pytest.raises(KeyboardInterrupt):
        run()
    topics.COUNTS["until"] = topics.UNLIMITED
    run()
    in_two_parts = topics.COUNTS["written"]
    topics.COUNTS["written"] = 0
    run(workspace="fresh")

    assert in_two_parts == topics.COUNTS["written"] > 50


def test_a_dry_run_writes_nothing_and_counts_the_requests(store, capsys):
    topics.register()
    write_texts()
    taxonomy(parameters(dry_run="true", price_output="1"))

    assert paid() == (0, 0)
    shown = capsys.readouterr().err
    assert "Propose at most 10 labels" in shown
    assert "requests, price" in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_case": ""}, "use_case must say what the labels are for"),
        ({"data": ""}, "data must name the file"),
        ({"annotator": "recorded"}, "annotator must be an engine that writes texts"),
        ({"task": "imdb"}, "task must be empty"),
        ({"taxonomy": "nothing.yaml"}, "nothing.yaml does not exist"),
        ({"other_label": " "}, "other_label must be a name"),
        ({"other_label": "none of\nthese"}, "on one line"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(store, changes, message):
    topics.register()
    write_texts(40)

    with pytest.raises(AssayError) as caught:
        taxonomy(parameters(**changes))

    assert message in " ".join(map(str, (caught.value, *caught.value.others)))
    assert paid() == (0, 0)


def test_too_few_texts_are_refused(store):
    topics.register()
    write_texts(12)

    with pytest.raises(AssayError, match="at least 20 different texts"):
        run()


def test_a_taxonomy_file_without_its_labels_is_refused(made, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(made / "taxonomy.yaml", alone)

    with pytest.raises(AssayError, match=r"beside made\.json and the labels"):
        run(taxonomy=str(alone / "taxonomy.yaml"))


def test_a_model_that_writes_no_list_is_quoted(store, monkeypatch):
    topics.register()
    write_texts(40)
    monkeypatch.setattr(topics, "_reply", lambda request: "I would rather not.")

    with pytest.raises(AssayError, match="I would rather not"):
        run()


def test_lists_that_broke_off_are_told(store, monkeypatch):
    topics.register()
    write_texts(40)
    monkeypatch.setitem(topics.COUNTS, "breaks_off", True)
    run(taxonomies="1")
    stored = read_taxonomy()
    page = Path("work/reports") / stored.root.run_id / "report.html"

    assert "3 lists of labels broke off" in page.read_text()


def test_a_label_that_no_text_has_is_named(store, monkeypatch):
    topics.register()
    write_texts(40)
    reply = topics._reply
    monkeypatch.setattr(topics, "_reply", lambda request: f"{reply(request)}\n- Unused: about it")
    run(taxonomies="1")
    stored = read_taxonomy()
    page = Path("work/reports") / stored.root.run_id / "report.html"

    assert "No text has the label Unused" in page.read_text()


def test_a_taxonomy_that_could_not_be_read_is_a_run_with_its_replies_and_the_page_says_so(
    store, monkeypatch
):
    topics.register()
    write_texts(40)
    reply = topics._reply
    monkeypatch.setattr(
        topics, "_reply", lambda request: "Sorry." if request.seed < 3 else reply(request)
    )
    folder = run(taxonomies="3", summary_words="0")
    root = latest_root("taxonomy")
    page = (folder.parents[1] / "reports" / root.run_id / "report.html").read_text()
    (failed,) = [
        draft for draft in all_children(root, "taxonomy draft") if draft.metrics["n_labels"] == 0
    ]

    assert b"Sorry." in read_artifact(failed, "written.jsonl")
    assert "1 more could not be made" in page


def test_an_edit_by_another_model_says_that_labels_are_of_two(made, capsys):
    content = json.loads((made / "made.json").read_text())
    (made / "made.json").write_text(json.dumps({**content, "annotator": "another model"}))
    run(taxonomy=str(edit(made, lambda labels: labels.pop(0))))

    assert "topics labels texts again that another model labelled" in capsys.readouterr().err


def test_upper_and_lower_case_make_no_other_label(made):
    def louder(labels):
        labels[0]["name"] = labels[0]["name"].upper()

    run(taxonomy=str(edit(made, louder)))

    assert paid() == (0, 0)
