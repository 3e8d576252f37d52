"""Rows of the entry point check: annotator and encoder. The encoder is loaded if it is here."""

from __future__ import annotations

from entrypoints.wiring.check_machine import size_text
from entrypoints.wiring.check_report import Rows
from entrypoints.wiring.check_server import server_rows
from project.annotation.engines.factory import check_engine
from project.annotation.pairs import pair_prompt
from project.config.arms import arm_facts
from project.config.cluster import NO_CLUSTER
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.finetune import LINEAR
from project.data.label_question import load_one_card
from project.support.escape import abridged
from project.support.machine import visible_gpus
from project.support.model_files import ModelFiles, model_files
from project.support.models import BUNDLED


def annotator_weights(config: ExperimentConfig) -> Rows[ModelFiles | None]:
    """The engine, its server and its model; returns the weights that this machine would load."""
    annotate = config.annotate
    check_engine(annotate.annotator, config.cluster)
    if not any(arm_facts(kind).reads_llm for kind in config.label.arms):
        yield "engine", f"none: {', '.join(config.label.arms)} need no LLM"
        return None
    facts = engine_facts(annotate.annotator)
    if "recorded" in facts.takes:
        file = config.recorded.recorded or "no file given"
        yield "engine", f"{annotate.annotator}: {file}"
    elif facts.server:
        yield "engine", f"{annotate.annotator}: {config.server.annotator_url}"
    else:
        yield "engine", annotate.annotator
    is_here = config.cluster.cluster == NO_CLUSTER
    if is_here and facts.needs_gpu and not visible_gpus():
        yield "GPU", f"note: {annotate.annotator} is meant for a GPU, and none is visible here"
    spend = config.spend
    if facts.price_by_tokens and not (spend.price_input or spend.price_output):
        yield "price", "note: unknown; set price_input and price_output where tokens are charged"
    if facts.server:
        yield from server_rows(config)
    if not facts.local_weights:
        return None
    files = model_files("annotator_model", annotate.annotator_model, annotate.annotator_revision)
    yield "model", _in_words(files)
    if facts.scores_pairs and files.is_local:
        yield from _pair_rows(config)
    return files


def _pair_rows(config: ExperimentConfig) -> Rows[None]:
    """What a cross-encoder answers, and the texts of the labels. No weights are read."""
    # Imported here, as the other rows do not need torch.
    from project.annotation.engines.rerank.engine import RerankAnnotator

    annotator = RerankAnnotator(config.annotate)
    yield "outputs", annotator.outputs.about
    card = load_one_card(config.task.task, config.task.label)
    texts = [text for text in pair_prompt(config.prompt, card).answers if text]
    annotator.tokens.pairs([""], texts)
    yield "label texts", f"{len(texts)}, the first one is {abridged(texts[0])}"


def encoder_weights(config: ExperimentConfig) -> Rows[ModelFiles | None]:
    """The encoder; returns its weights, or None where they are not trained."""
    name = config.finetune.encoder
    if name == LINEAR:
        files = model_files("encoder", BUNDLED, config.finetune.encoder_revision)
        yield "model", f"logistic regression on the embeddings of {_in_words(files)}"
        return None
    files = model_files("encoder", name, config.finetune.encoder_revision)
    yield "model", _in_words(files)
    if not files.is_local:
        yield "loading", "not tried: an experiment fetches and loads it before it annotates"
        return files
    # Imported here, as the other rows do not need torch.
    from project.training.encoder import Encoder

    encoder = Encoder.find(config.finetune)
    yield "loading", f"it loads and reads a text in {encoder.precision}"
    if encoder.note:
        yield "head", f"note: {encoder.note}"
    return files


def _in_words(files: ModelFiles) -> str:
    if not files.n_bytes:
        return f"{files.name}: size unknown, in {files.location}"
    millions = f"{files.n_parameters / 1e6:,.0f} million parameters"
    return f"{files.name}: {size_text(files.n_bytes)} in {millions}, in {files.location}"
