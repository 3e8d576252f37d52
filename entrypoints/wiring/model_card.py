"""The model card of a logged classifier: what it was trained on, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.seed_runs import recipe_params
from project.config.metrics import main_scores
from project.data.task import Task
from project.support.escape import escape_markdown
from project.tracking import VERDICT_BEGIN, VERDICT_END
from project.training.encoder import Encoder
from project.training.results import Job

_USE = """## How to use it

```python
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/MODEL_ID")
model.predict(pandas.DataFrame({{{column!r}: ["a text", "another one"]}}))
```

The input has one column with texts. The output has the label, its probability (`score`) and the
probability of every class. Texts longer than {max_length} tokens are cut at the end, as in
training. `mlflow.transformers.load_model` gives the same probabilities.
"""
_NOT_FOR = """## What it is not for

- Texts of another kind, time or language than those above: nothing is known about its errors there.
- Decisions about single people. A share of its labels is wrong; the scores above say how many.
- Counting classes without correction: wrong labels shift the shares of classes.
- Probabilities taken at their word: they are not calibrated. A threshold with a promised precision
  comes from the entry point `predict` with `min_precision`.
"""
_NO_VERDICT = "The experiment's report is not made yet; its run holds the verdict once it is."


class TrainedModel(NamedTuple):
    """One trained seed that is to be logged, with its scores on the test split in [0, 1]."""

    condition: Condition
    job: Job
    scores: Mapping[str, float]
    run_id: str


def model_tags(task: Task, trained: TrainedModel) -> dict[str, str]:
    """Tags of the logged model, by which it can be searched for."""
    return {
        "assay.task": task.name,
        "assay.arm": trained.condition.title,
        "assay.seed": str(trained.job.seed),
        "assay.data_sha256": task.content_hash,
    }


def model_card(encoder: Encoder, task: Task, trained: TrainedModel) -> str:
    """The card as Markdown; :func:`project.tracking.write_verdicts` fills in the verdict."""
    condition = trained.condition
    human = condition.spent.human_labels
    scores = "\n".join(
        f"| {metric.title} | {metric.text(metric.scale * trained.scores[metric.key])} |"
        for metric in main_scores(ordered=task.ordered)
    )
    labels = "\n".join(f"- {escape_markdown(label)}" for label in task.label_set)
    n_test = len(task.split("test"))
    return f"""# {escape_markdown(encoder.source.name)} fine-tuned for {escape_markdown(task.name)}

{escape_markdown(task.description)}

## Labels

{labels}

## May its training labels be trusted?

{VERDICT_BEGIN}
{_NO_VERDICT}
{VERDICT_END}

The verdict is on the labels of this experiment, on its test texts, within its limits. It promises
nothing for other data.

## Training data

{len(condition.labels)} labels of the arm {escape_markdown(condition.title)}, {human} of them by a
human. The best evaluation was picked by {len(condition.validation)} validation labels. Data:
{escape_markdown(task.source)} (sha256 of texts, labels and splits: {task.content_hash}).

## Scores of this seed

On {n_test} test texts, x 100:

| score | |
|---|---|
{scores}

## Recipe

{_recipe(encoder, trained)}

The run {trained.run_id} of the tracking store holds all parameters, the labels and the predictions.

{_USE.format(column=task.columns["text"], max_length=encoder.max_length)}
{_NOT_FOR}"""


def _recipe(encoder: Encoder, trained: TrainedModel) -> str:
    """What was fine-tuned, and how, as a list."""
    config = trained.condition.config
    recipe = {
        "encoder": encoder.source.name,
        "precision": encoder.precision,
        "max_length": encoder.max_length,
        "seed": trained.job.seed,
        "train_batch_size": config.train_batch_size,
        "learning_rate": config.learning_rate,
        **recipe_params(config, trained.job.schedules),
    }
    return "\n".join(f"- {name}: {value}" for name, value in recipe.items())
