"""Names under which results stand in the tracking store, and what each of them means.

Metrics of results are declared in :mod:`project.config.metrics`. This table holds everything else:
kinds of runs, tags, parameters of child runs, metrics of single evaluations, and artifacts. A test
compares it with what an experiment logs.
"""

from __future__ import annotations

from typing import NamedTuple


class LoggedName(NamedTuple):
    """One name, the kinds of runs that have it, and its meaning."""

    name: str
    kinds: str
    meaning: str


_LOSS = "experiment, budget, grid, audit, suite (median)"
_ALPHA = "experiment, budget, grid, audit, suite (median)"
_SCORES = "experiment, budget, curve, grid, annotation set, audit, suite (median)"
_ORDINAL = "experiment, budget, curve, grid, annotation set"
_TESTED = "experiment, budget, grid"
_HUMAN = "experiment, budget, audit"

KINDS = (
    LoggedName("experiment", "root", "one task, one annotator, several arms (main, finetune)"),
    LoggedName("budget", "root", "label sources at several human budgets"),
    LoggedName("curve", "root", "a learning curve"),
    LoggedName("grid", "root", "a grid search"),
    LoggedName("sweep", "root", "one worker of a study of Optuna"),
    LoggedName("suite", "root", "several tasks that went through the same experiment (suite)"),
    LoggedName("annotation set", "root", "annotation without training (annotate)"),
    LoggedName("questions", "root", "questions for a person (ask)"),
    LoggedName("audit", "root", "what human labels of a sample tell about an LLM's labels (audit)"),
    LoggedName("audit plan", "root", "how many texts people should label (audit with plan=true)"),
    LoggedName("taxonomy", "root", "labels proposed for texts, and their labels (taxonomy)"),
    LoggedName("predict", "root", "labels of a corpus by a logged classifier (predict)"),
    LoggedName("monitor", "root", "a batch of new texts beside old ones (monitor)"),
    LoggedName("dry run", "root", "an estimate of what annotation would take"),
    LoggedName("annotation", "child", "one draw over one split"),
    LoggedName("seed", "child", "one seed of one arm"),
    LoggedName("trial", "child", "one trial of a study"),
    LoggedName("taxonomy draft", "child", "one of the taxonomies of a root run"),
)
"""Values of the tag ``assay.kind``."""

TAGS = (
    LoggedName("assay.kind", "all", "kind of the run"),
    LoggedName("assay.schema_version", "all", "version of this table of names"),
    LoggedName("assay.root", "all", "id of the root run"),
    LoggedName("assay.digest", "child, predict", "digest of all that can change the result"),
    LoggedName("assay.output", "predict", "SHA-256 of the file that the run wrote"),
    LoggedName("assay.sha256", "child", "SHA-256 of every artifact, as JSON"),
    LoggedName("assay.entry", "child", "id of the entry on disk from which the run was logged"),
    LoggedName(
        "assay.question", "annotation", "digest of model, prompt and reading, without texts"
    ),
    LoggedName("assay.server", "annotation", "hash of the address of an OpenAI-compatible server"),
    LoggedName("assay.prompt", "annotation", "the prompt in MLflow's Prompt Registry"),
    LoggedName("prompt.sha256", "annotation", "SHA-256 of the prompt"),
    LoggedName("assay.taken_from", "annotation, seed", "ids of the runs whose result was reused"),
    LoggedName("assay.taken_of", "annotation, seed", "users who own these runs"),
    LoggedName("reused", "seed", "whether the seed was trained before"),
    LoggedName("assay.absent_classes", "root, seed", "classes without a training label"),
    LoggedName("assay.chose_at_random", "seed", "why an arm with an audit chose at random"),
    LoggedName("assay.labels_note", "seed", "what an arm made of the LLM's labels"),
    LoggedName("assay.few_steps", "seed", "fewer steps than a training needs to begin"),
    LoggedName("assay.not_learned", "root", "arms whose trainings have not left their start"),
    LoggedName("assay.study", "sweep, trial", "id of the study"),
    LoggedName("assay.trial_state", "trial", "COMPLETE, PRUNED or FAIL"),
    LoggedName("assay.reason", "trial", "why a trial failed"),
    LoggedName("assay.chosen", "sweep", "numbers of the chosen trials"),
    LoggedName("assay.suite", "suite, experiment", "name of the suite"),
    LoggedName("assay.suite_task", "experiment", "digest of a task's parameters and files"),
    LoggedName("assay.model", "predict", "addresses of the classifiers that gave the labels"),
    LoggedName("assay.predicted_by", "predict, monitor", "runs of the classifiers"),
    LoggedName("assay.monitor", "monitor", "digest of classifier, old texts and settings"),
    LoggedName("assay.monitored", "monitor", "the experiment with the classifiers"),
    LoggedName("assay.batch", "monitor", "digest of the texts of the batch"),
    LoggedName(
        "assay.review_queues",
        "questions",
        "the review queues in MLflow and their questions, as JSON",
    ),
    LoggedName("assay.metric_names", "root", "2: metrics of arms begin with arm."),
    LoggedName("assay.base_name", "root", "name that Assay gave the run, without the verdict"),
    LoggedName("assay.refused", "root", "why the command was refused; the run is deleted"),
    LoggedName("assay.verdict", "root", "the verdict, such as safe"),
    LoggedName("assay.verdict_reason", "root", "the verdict in a sentence"),
    LoggedName("assay.seeds_trained", "root", "seeds of every arm, if seeds were added"),
    LoggedName("assay.private", "root", "true: hashes stand in place of texts"),
    LoggedName("assay.worker", "root", "machine, number and start time of the process"),
    LoggedName("assay.heard", "root", "last sign of life of the process, seconds since 1970"),
    LoggedName("assay.ended", "root", "how the process ended"),
    LoggedName("assay.reaped", "root", "ended by the entry point reap"),
    LoggedName("assay.rerun_of", "root", "the run that was run again"),
    LoggedName("assay.rerun_differs", "root", "what differed from that run"),
    LoggedName("assay.config_file", "root", "configuration file whose values beat passed defaults"),
    LoggedName("assay.overruled", "root", "these values by parameter, as JSON"),
    LoggedName("entry_point", "root", "name of the entry point"),
    LoggedName("code.version", "root", "hash of the project's code"),
    LoggedName("git.commit", "root", "commit of the project"),
    LoggedName("git.dirty", "root", "whether there were changes that were not committed"),
)

ROOT_METRICS = (
    LoggedName("loss", _LOSS, "macro-F1 that training on the LLM's labels loses, in [-1, 1]"),
    LoggedName("loss_low", _LOSS, "lower limit of the loss"),
    LoggedName("loss_high", _LOSS, "upper limit of the loss"),
    LoggedName("alpha", _ALPHA, "Krippendorff's alpha (nominal) of classifiers on its labels"),
    LoggedName("llm.macro_f1", _SCORES, "macro-F1 of the LLM's own labels, in [0, 1]"),
    LoggedName("llm.accuracy", _SCORES, "accuracy of the LLM's own labels, in [0, 1]"),
    LoggedName("human_labels", _HUMAN, "human labels that the labels of the verdict take"),
    LoggedName("cost", "experiment, budget, grid", "price of these labels and one training"),
)
"""The main numbers of root runs, by which runs are compared."""

PARAMS = (
    LoggedName("model", "root", "name of the LLM, or the column of its labels; none: no LLM"),
    LoggedName("prompt_style", "root", "how labels are written; chat: in the chat template"),
    LoggedName("shots", "root", "demonstrations in a prompt"),
    LoggedName("template_hash", "root", "first 12 digits of the SHA-256 of the prompt template"),
    LoggedName("task", "child", "name of the task"),
    LoggedName("label_type", "annotation, seed", "nominal, or ordinal for ordered labels"),
    LoggedName("examples_sha256", "annotation, seed", "hash of the examples with their splits"),
    LoggedName("annotator", "child", "engine of the annotator"),
    LoggedName("annotator_model", "child", "model of the annotator"),
    LoggedName("calibration", "child", "calibration of the class probabilities"),
    LoggedName("label_style", "annotation, seed", "how labels are written"),
    LoggedName("n_demonstrations", "child", "demonstrations in a prompt"),
    LoggedName("split", "annotation", "the annotated split"),
    LoggedName("draw", "annotation, seed", "index of the draw"),
    LoggedName("n_examples", "annotation, seed", "examples of the split, or training examples"),
    LoggedName("n_train", "seed", "training labels"),
    LoggedName("n_steps", "seed", "optimiser steps of the training"),
    LoggedName("arm", "seed", "name of the arm, such as entropy_5"),
    LoggedName("arm_kind", "seed", "kind of the arm, such as entropy"),
    LoggedName("replace_share", "seed, trial", "per cent of human labels"),
    LoggedName("ensemble_size", "seed, trial", "draws that the arm reads (K)"),
    LoggedName("flip_rate", "seed", "per cent of flipped gold labels"),
    LoggedName("seed", "seed", "seed of the training"),
    LoggedName("replicate", "seed", "number of the replicate of the arm"),
    LoggedName("evaluated", "seed, trial", "the predicted split"),
    LoggedName("configuration", "seed", "index in the grid"),
    LoggedName("curve_seed", "seed", "seed of the order of training examples"),
    LoggedName("trial", "seed, trial", "number of the trial"),
    LoggedName("source", "trial", "label source"),
    LoggedName("n_seeds", "trial", "seeds of the trial"),
    LoggedName("sampler", "trial", "sampler of the study"),
    LoggedName("taxonomy_index", "taxonomy draft", "number of the taxonomy"),
)
"""Root runs also have every parameter of their entry point, and seeds every hyper-parameter of the
recipe; the reference of parameters explains these."""

EVALUATION_METRICS = (
    LoggedName(
        "training_loss",
        "seed",
        "mean loss since the last evaluation, in nats: cross-entropy; of forward -log P(label), of "
        "evidence the same up to a constant",
    ),
    LoggedName("validation_accuracy", "seed", "accuracy on validation"),
    LoggedName("validation_macro_f1", "seed", "macro-F1 on validation"),
    LoggedName("learning_rate", "seed", "learning rate at the evaluation"),
    LoggedName("texts_per_second", "seed", "training texts a second since the evaluation before"),
)
"""Metrics of seeds by evaluation; their step is the optimiser step (older versions: the epoch)."""

_AUDITED = {
    "llm": "the LLM in the pool, in [0, 1]",
    "classifier": "a classifier trained on the LLM's labels, in [0, 1]",
    "gold_trained": "a classifier trained on human labels, estimated, in [0, 1]",
    "loss": "the classifier trained on human labels less that of the other one",
}
OTHER_METRICS = (
    *ROOT_METRICS,
    LoggedName("alpha_ordinal", _TESTED, "the ordinal alpha of a task with ordered labels"),
    LoggedName("llm.mean_absolute_error", _ORDINAL, "its steps from gold, on average; ordinal"),
    LoggedName("llm.quadratic_kappa", _ORDINAL, "its quadratic weighted kappa; ordinal"),
    LoggedName("entropy_bits", "annotation", "mean entropy of the answers, in bits, at least"),
    LoggedName("entropy_bits_upper", "annotation", "the same where classes are censored, at most"),
    LoggedName("truncated", "annotation", "texts that were cut to fit the context"),
    LoggedName("censored", "annotation", "answers that lack the probability of some class"),
    LoggedName("prompt_tokens", "annotation, taxonomy draft", "tokens of all prompts"),
    LoggedName("annotation_seconds", "annotation", "seconds of annotation in this run"),
    LoggedName("asked_texts", "annotation", "texts that were sent to the annotator"),
    LoggedName("reused_texts", "annotation", "texts whose answers were on disk"),
    LoggedName("fetched_texts", "annotation", "texts whose answers came from other runs"),
    LoggedName("texts_per_second", "annotation", "texts that were sent, a second"),
    LoggedName("best_step", "seed", "optimiser steps before the kept evaluation"),
    LoggedName("not_learned", "seed", "1: the training has not left its start; else 0"),
    LoggedName("n_scores", "trial", "seeds whose score counts"),
    LoggedName("texts_labelled_by_people", "predict", "human labels that correct class shares"),
    LoggedName("corrected_share.CLASS", "predict", "corrected share of a class in the corpus"),
    LoggedName("corrected_share_low.CLASS", "predict", "lower limit of it; _high: the upper one"),
    LoggedName("monitor.number", "monitor", "number of the batch, and step of its metrics"),
    LoggedName("monitor.texts", "monitor", "texts of the batch"),
    LoggedName("monitor.texts_read", "monitor", "texts of it that the tests read"),
    LoggedName("monitor.texts_cut", "monitor", "texts that were cut at the end"),
    LoggedName("monitor.texts_labelled", "monitor", "labelled texts of the spot check"),
    LoggedName("monitor.p_value", "monitor", "p-value over all looks; an alarm at 0.05"),
    LoggedName("monitor.alarm", "monitor", "1: there was an alarm, now or earlier; else 0"),
    LoggedName("monitor.p_of_batch", "monitor", "p-value against the old texts and all batches"),
    LoggedName("monitor.p_so_far", "monitor", "p-value of all batches against the old texts"),
    LoggedName("monitor.p_alone.label", "monitor", "p-value of the classes, this batch alone"),
    LoggedName("monitor.p_alone.embedding", "monitor", "p-value of the embeddings, likewise"),
    LoggedName("monitor.p_alone.mean_probability", "monitor", "p-value of the probability"),
    LoggedName("monitor.p_alone.agreement", "monitor", "p-value of the agreement of the seeds"),
    LoggedName("monitor.embedding_distance", "monitor", "energy distance less chance, in [0, 1]"),
    LoggedName("monitor.mean_probability", "monitor", "mean probability of the predicted class"),
    LoggedName("monitor.agreement", "monitor", "mean share of the seeds that agree"),
    LoggedName("monitor.accuracy", "monitor", "accuracy in the batch, from its spot check"),
    LoggedName("monitor.accuracy_low", "monitor", "lower limit of the accuracy"),
    LoggedName("monitor.accuracy_high", "monitor", "upper limit of the accuracy"),
    LoggedName("monitor.old_accuracy", "monitor", "accuracy on the old texts, if they have gold"),
    LoggedName("monitor.latest_accuracy", "monitor", "accuracy of earlier batches at their steps"),
    LoggedName("sets.macro_f1", "annotation set", "of sets of labels in one reply; see SetScores"),
    LoggedName("sets.micro_f1", "annotation set", "F1 of all decisions together"),
    LoggedName("sets.jaccard", "annotation set", "mean Jaccard index of given and gold sets"),
    LoggedName("sets.exact", "annotation set", "share of the texts with exactly the right set"),
    LoggedName("taxonomy.n_labels", "taxonomy", "labels, without the one for other texts"),
    LoggedName("taxonomy.coverage", "taxonomy", "share of the texts with one of them"),
    LoggedName("taxonomy.overlap", "taxonomy", "share of the texts that two labels fit"),
    LoggedName("taxonomy.effective_labels", "taxonomy", "equally large labels, same entropy"),
    LoggedName("taxonomy.alpha", "taxonomy", "alpha of the assignments over the taxonomies"),
    LoggedName("taxonomy.alpha_low", "taxonomy", "lower limit of it"),
    LoggedName("taxonomy.alpha_high", "taxonomy", "upper limit of it"),
    LoggedName("taxonomy.alpha_chance", "taxonomy", "the same where texts are shuffled"),
    LoggedName("n_labels", "taxonomy draft", "labels of the taxonomy"),
    LoggedName("replies", "taxonomy draft", "replies of the model, summaries included"),
    LoggedName("replies_not_read", "taxonomy draft", "replies without a list of labels"),
    LoggedName("generated_tokens", "taxonomy draft", "tokens of all replies"),
    LoggedName("audit.n", "audit", "audited texts"),
    LoggedName("audit.n_pool", "audit", "texts of the pool"),
    *(
        LoggedName(f"audit.{scored}.{metric}", "audit", f"{title} of {meaning}")
        for scored, meaning in _AUDITED.items()
        for metric, title in {"accuracy": "accuracy", "macro_f1": "macro-F1"}.items()
    ),
)
"""Metrics that no table of several runs shows."""

ARTIFACTS = (
    LoggedName("config.json", "root", "configuration, task, models, versions, design"),
    LoggedName("provenance.json", "root", "code, parameters, inputs, models, machine, packages"),
    LoggedName("git.diff", "root", "changes that were not committed"),
    LoggedName("examples.parquet", "root", "the examples with their splits"),
    LoggedName("plan.json", "dry run", "what every draw would take"),
    LoggedName("audit.json", "audit, audit plan", "every number of an audit, or of its plan"),
    LoggedName(
        "questions/", "questions", "questions as a page, CSV and for Label Studio; the sampling"
    ),
    LoggedName("sample.parquet", "monitor", "the texts that the tests read, without the texts"),
    LoggedName("spot_check/", "monitor", "the spot check as a page and as CSV; its sampling"),
    LoggedName("corrected_shares.json", "predict", "corrected class shares, also of the parts"),
    LoggedName(
        "report/",
        "root",
        "report.html; in folders its tables as CSV, its figures, its parts as text",
    ),
    LoggedName("prompt/", "annotation", "prompt, its facts, and its demonstrations"),
    LoggedName("annotations.parquet", "annotation", "one answer a row"),
    LoggedName("content_free.parquet", "annotation", "answers to content-free inputs"),
    LoggedName("sets.parquet", "annotation set", "all labels of each text, from one reply"),
    LoggedName("sample.json", "annotation", "the first answers, which the UI shows as a table"),
    LoggedName("labels.parquet", "seed", "training labels with source and reason"),
    LoggedName("labels.parquet", "taxonomy", "the LLM's labels of all texts"),
    LoggedName("taxonomy.yaml", "taxonomy", "labels and definitions, for people to edit"),
    LoggedName("card.yaml", "taxonomy", "a task card with these labels"),
    LoggedName("made.json", "taxonomy", "the taxonomy by which the texts were labelled"),
    LoggedName("taxonomy.json", "taxonomy", "the taxonomies, their steps, what was edited"),
    LoggedName("assigned.parquet", "taxonomy", "labels of a sample by every taxonomy"),
    LoggedName("labels.json", "taxonomy draft", "labels of the taxonomy and its steps"),
    LoggedName("written.jsonl", "taxonomy draft", "every prompt and reply"),
    LoggedName("predictions.parquet", "seed", "predictions with log probabilities"),
    LoggedName("history.json", "seed", "scores and losses of every evaluation"),
)
