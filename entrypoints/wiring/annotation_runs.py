"""Annotation wired to the tracking store: who is asked what, what it will take, and every draw logged as a run when it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from entrypoints.wiring.command import Progress, print_line
from entrypoints.wiring.setup import shared_params, taken_tags, taken_words
from project.annotation.annotate import Annotations, annotate
from project.annotation.answers import ANSWER_KEY, RAW_LABEL, checked_answers, raw_answers
from project.annotation.cache import Fetch
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator, PromptlessAnnotator
from project.annotation.engines.factory import open_annotators
from project.annotation.estimate import plan
from project.annotation.prompt import Prompt, build_prompts
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.labels import PAPER_DRAWS
from project.config.metrics import annotation_metrics, score_metrics
from project.data.tables import SourceRun, check, class_columns
from project.data.task import Task
from project.stats.information import entropy_bounds_bits
from project.support.errors import AssayError
from project.support.escape import escape_markdown
from project.support.files import digest
from project.support.parquet import content_hash, parquet, write_table
from project.support.privacy import table_for_store
from project.tracking import QUESTION, SERVER, USER, Child, StoreUnavailable, Tracker, current_user
from project.training.evaluate import evaluate

CONTENT_FREE = "content_free.parquet"
SAMPLE = 100  # rows of a table that the UI shows


@dataclass(frozen=True)
class AnnotationSession:
    """Who is asked what: copies of one annotator, one prompt for each draw, and the meter that all their answers count on."""

    annotators: Sequence[Annotator]
    prompts: Sequence[Prompt]
    meter: Meter
    said: set[str] = field(default_factory=set)

    @property
    def annotator(self) -> Annotator:
        """The first copy, which stands for all."""
        return self.annotators[0]

    def resolved(self, config: ExperimentConfig) -> ExperimentConfig:
        """``config`` with the number of draws that there are."""
        return dataclasses.replace(
            config, prompt=dataclasses.replace(config.prompt, ensemble_size=len(self.prompts))
        )

    def say_notes(self) -> None:
        """What the engine found out about itself, for instance what a server can do; each note once."""
        for note in getattr(self.annotator, "notes", ()):
            if note not in self.said:
                print_line(f"note: {note}")
                self.said.add(note)

    def close(self) -> None:
        """Free what the engines hold."""
        for annotator in self.annotators:
            annotator.close()


def open_session(task: Task, config: ExperimentConfig) -> AnnotationSession:
    """The annotator and one prompt for each draw: ``ensemble_size`` of them, or as many as a recorded file has."""
    facts = engine_facts(config.annotate.annotator)
    if config.annotate.annotator_model == "bundled" and facts.local_weights:
        print_line("annotator: the bundled one (unpacked on first use, about 20 s)")
    annotators, n_draws = open_annotators(config, task), config.prompt.ensemble_size
    if not facts.has_prompt:
        labels = cast(PromptlessAnnotator, annotators[0])
        prompts = labels.prompts(n_draws or len(labels.draws))
    else:
        prompts = build_prompts(
            config.prompt,
            task.label_set,
            task.description,
            task.split("demonstration"),
            n_draws or PAPER_DRAWS,
        )
    return AnnotationSession(annotators, prompts, Meter(config.spend))


def annotate_split(
    tracker: Tracker,
    asked: AnnotationSession,
    task: Task,
    split: str,
    n_draws: int,
    config: ExperimentConfig,
) -> list[pd.DataFrame]:
    """The annotations of ``split`` under the first ``n_draws`` prompts; each draw is logged as a run when it is done."""
    examples, made, drawn = task.split(split), [], asked.prompts[:n_draws]
    with Progress(f"annotate {split}", len(drawn) * len(examples), "texts") as progress:
        done = annotate(
            asked.annotators,
            drawn,
            examples,
            task.label_set,
            config=config.annotate,
            folder=Path(config.host.workspace) / "annotations",
            progress=progress,
            meter=asked.meter,
            seed=config.prompt.demonstration_seed,
            fetch=_fetch(tracker, asked, task, config),
        )
        for draw in done:
            _log_annotations(tracker, asked, task, split, draw, config)
            made.append(draw)
    asked.say_notes()
    _say_what_happened(split, made, asked.annotator.name)
    return [draw.table for draw in made]


def _fetch(
    tracker: Tracker, asked: AnnotationSession, task: Task, config: ExperimentConfig
) -> Fetch:
    """Answers to the same question in finished runs of the store, those to content-free inputs among them."""

    def fetch(question: str) -> Iterator[tuple[SourceRun, pd.DataFrame]]:
        runs = (
            tracker.reusable_runs("annotation", QUESTION, question, config.store.reuse)
            if engine_facts(config.annotate.annotator).has_prompt
            else ()
        )
        for run in runs:
            if (
                SERVER in run.tags
                and run.tags.get(USER) != current_user()
                and run.tags[SERVER] != _server_tag(config).get(SERVER)
            ):
                continue  # what a colleague's server calls by the same name may be another model
            free = [CONTENT_FREE] if run.params.get("calibration") == "contextual" else []
            try:
                files = tracker.verified_artifacts(run, ["annotations.parquet", *free])
                tables = [_answers(files["annotations.parquet"], task.label_set)]
                tables += [checked_answers(parquet(files[name]), task.label_set) for name in free]
            except StoreUnavailable:  # which the tracker has said
                return
            except (
                AssayError
            ) as error:  # somebody's run that is not what it says is no reason to stop
                print_line(f"annotate: {error} Nothing is taken from it.")
                continue
            yield from (
                (SourceRun(run.run_id, run.tags.get(USER, "somebody")), table) for table in tables
            )

    return fetch


def _server_tag(config: ExperimentConfig) -> dict[str, str]:
    """Which server is asked, by a hash of its address; nothing where none is."""
    return (
        {SERVER: digest(config.server.annotator_url.rstrip("/"))}
        if engine_facts(config.annotate.annotator).server
        else {}
    )


def _answers(data: bytes, label_set: Sequence[str]) -> pd.DataFrame:
    """The raw answers in another run's annotations table, checked."""
    return raw_answers(check("annotations", parquet(data), label_set), label_set)


def _say_what_happened(split: str, made: Sequence[Annotations], name: str) -> None:
    fetched = sum(draw.n_fetched for draw in made)
    if fetched:
        runs = dict.fromkeys(f"{one.run_id} of {one.user}" for draw in made for one in draw.sources)
        print_line(
            f"annotate {split}: {fetched} answers came from finished runs in the tracking store ({', '.join(runs)}) and cost nothing."
        )
    total = sum(len(draw.table) for draw in made)
    for column, text in (
        ("truncated", f"were too long for {name}; their texts were cut at the end"),
        ("label", "have no label; they are no training labels and count as wrong"),
        ("log_bound", "lack the probability of some class, whose bound is kept instead"),
    ):
        values = pd.concat([draw.table[column] for draw in made])
        n = int(
            values.sum()
            if column == "truncated"
            else values.isna().sum()
            if column == "label"
            else values.notna().sum()
        )
        if n:
            print_line(f"annotate {split}: {n} of {total} answers {text}.")


def _annotation_metrics(
    done: Annotations, examples: pd.DataFrame, label_set: Sequence[str]
) -> dict[str, float]:
    """Scores against gold (none where nothing was answered), how sure and how complete the answers are, what they took."""
    table = done.table
    answered = table["label"].notna()
    judged = examples["gold_label"].notna()
    score = (
        evaluate(table[judged.to_numpy()], examples[judged], label_set)
        if answered.any() and judged.any()
        else {}
    )
    mass, bound = (table[name].to_numpy(dtype=np.float64) for name in ("label_mass", "log_bound"))
    least, most = (
        pd.Series(values).mean()
        for values in entropy_bounds_bits(class_columns(table, label_set), mass, bound)
    )  # nan where there is none
    metrics = {
        **score,
        "label_mass": table["label_mass"].mean(),
        "entropy_bits": least,
        "entropy_bits_upper": most,
        "truncated": table["truncated"].sum(),
        "missing": (~answered).sum(),
        "censored": table["log_bound"].notna().sum(),
        "prompt_tokens": table["prompt_tokens"].sum(),
        "annotation_seconds": done.seconds,
        "asked_texts": done.n_asked,
        "reused_texts": done.n_reused,
        "fetched_texts": done.n_fetched,
    }
    if "consistency" in table:
        metrics["consistency"] = table["consistency"].mean()
    if done.n_asked and done.seconds:
        metrics["texts_per_second"] = done.n_asked / done.seconds
    return {name: float(value) for name, value in metrics.items() if not np.isnan(value)}


def _log_annotations(
    tracker: Tracker,
    asked: AnnotationSession,
    task: Task,
    split: str,
    done: Annotations,
    config: ExperimentConfig,
) -> None:
    examples, annotator = task.split(split), asked.annotator
    metrics = _annotation_metrics(done, examples, task.label_set)
    rendered, private = _shown(done.prompt, "{input_text}"), config.store.private
    sha256 = hashlib.sha256(rendered.encode()).hexdigest()
    linked = _registered(tracker, asked, task, done.prompt, sha256, config)
    params = {
        **shared_params(task, config),
        "split": split,
        "draw": done.prompt.draw,
        "n_examples": len(examples),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "prompt.txt").write_text(
            f"sha256:{sha256}" if private else rendered, encoding="utf-8"
        )
        facts = {
            "answers": list(done.prompt.answers),
            "demonstration_ids": list(done.prompt.demonstration_ids),
            "annotator": dict(annotator.identity),
            "notes": list(getattr(annotator, "notes", ())),
        }
        (folder / "prompt.json").write_text(
            json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        shown = (
            task.examples.set_index("example_id")
            .loc[list(done.prompt.demonstration_ids)]
            .reset_index()
        )
        write_table(folder / "demonstrations.parquet", table_for_store(shown, private=private))
        write_table(folder / "annotations.parquet", table_for_store(done.table, private=private))
        files = {
            "prompt/prompt.txt": "prompt.txt",
            "prompt/prompt.json": "prompt.json",
            "prompt/demonstrations.parquet": "demonstrations.parquet",
        }
        files["annotations.parquet"] = "annotations.parquet"
        if done.content_free is not None:
            write_table(folder / CONTENT_FREE, table_for_store(done.content_free, private=private))
            files[CONTENT_FREE] = CONTENT_FREE
        tracker.log_child(
            Child(
                f"annotate {split} draw {done.prompt.draw:02d}",
                "annotation",
                done.digest,
                params,
                metrics=metrics,
                files={path: folder / file for path, file in files.items()},
                description=f"{annotator.name} labels {len(examples)} texts of the {split} split, draw {done.prompt.draw}: "
                + ", ".join(
                    f"{metric.title} {metrics[metric.key]:.3f}"
                    for metric in (*score_metrics(), *annotation_metrics())
                    if metric.key in metrics
                )
                + "."
                + taken_words(f"{done.n_fetched} answers are", done.sources),
                tags={
                    "prompt.sha256": sha256,
                    QUESTION: done.question,
                    **_server_tag(config),
                    **taken_tags(done.sources),
                    **linked,
                },
                inputs=[(f"{task.name}/{split}", content_hash(examples), "annotation")],
                sample=table_for_store(_annotation_sample(done.table, examples), private=private),
                seconds=done.seconds if done.n_asked else 0.0,
            )
        )


def _registered(
    tracker: Tracker,
    asked: AnnotationSession,
    task: Task,
    prompt: Prompt,
    sha256: str,
    config: ExperimentConfig,
) -> dict[str, str]:
    """The tags that link a draw's run to its prompt in the registry, where it is to be there; recorded labels have no prompt."""
    has_prompt = engine_facts(config.annotate.annotator).has_prompt
    if not config.store.register_prompt or not has_prompt:
        return {}
    style, text = (
        str(config.prompt.label_style),
        "{{input_text}}",
    )  # as MLflow writes what is filled in
    about = f"Task {task.name}, labels written by {style}, {len(prompt.demonstration_ids)} demonstrations."
    return tracker.register_prompt(
        ("assay", task.name, style),
        prompt.messages(text) if prompt.chat else prompt.render(text),
        sha256,
        about,
    )


def _annotation_sample(table: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    shown = (
        examples[["example_id", "text", "gold_label"]].head(SAMPLE).merge(table, on="example_id")
    )
    return (
        shown.drop(columns=["draw", ANSWER_KEY, RAW_LABEL, "repeats"], errors="ignore")
        .dropna(axis="columns", how="all")
        .round(4)
    )


def dry_run(
    tracker: Tracker,
    asked: AnnotationSession,
    task: Task,
    splits: Mapping[str, int],
    config: ExperimentConfig,
) -> None:
    """Say what annotating so many draws of every split will take, and log it; nothing else is done."""
    print_line(
        f"--- the prompt of draw 0, for the first text ---\n{_shown(asked.prompts[0], str(task.split(next(iter(splits)))['text'].iloc[0]))}\n---"
    )
    rows = []
    for split, n_draws in splits.items():
        plans = plan(
            asked.annotators,
            asked.prompts[:n_draws],
            task.split(split),
            task.label_set,
            config=config.annotate,
            spend=config.spend,
            folder=Path(config.host.workspace) / "annotations",
            fetch=_fetch(tracker, asked, task, config),
        )
        rows += [{"split": split, **dataclasses.asdict(one)} for one in plans]
    table = pd.DataFrame(rows)
    asked.say_notes()
    print_line(plan_table(table))
    probed = int(table["probed"].sum())
    total = f"{int(table['texts'].sum())} texts to ask, {table['seconds'].sum() / 60:.1f} minutes, price {table['cost'].sum():.4g}"
    tracker.log_json("plan.json", rows)
    said = f"A dry run of {asked.annotator.name} on {task.name}: {total}. Nothing was annotated but the probe's {probed} texts."
    tracker.describe(escape_markdown(said))
    print_line(
        f"in all: {total}. {probed} of these texts were read to measure the time; their answers are kept. Run again without dry_run."
    )


def plan_table(table: pd.DataFrame) -> str:
    """A dry run's rows as text."""
    names = {
        "tokens_reused": "tokens with prefix reuse",
        "tokens": "tokens without",
        "known": "known already",
        "seconds": "seconds",
        "cost": "price",
    }
    shown = table.assign(
        seconds=table["seconds"].round(1),
        cost=table["cost"].round(6),
        tokens=table["tokens"].map("{:,}".format),
    )
    shown["tokens_reused"] = table["tokens_reused"].map("{:,}".format)
    estimated = (
        ""
        if table["exact"].all()
        else "\ntokens are estimated at four characters each: the model's tokenizer is not at hand"
    )
    return (
        shown.drop(columns=["exact", "probed"]).rename(columns=names).to_string(index=False)
        + estimated
    )


def _shown(prompt: Prompt, text: str) -> str:
    """The whole prompt as a person reads it."""
    if not prompt.chat:
        return prompt.render(text)
    return "\n".join(
        f"[{message['role']}]\n{message['content']}" for message in prompt.messages(text)
    )
