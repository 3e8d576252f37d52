"""The transformers engine against ``model.generate`` and against lm-evaluation-harness."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.machine import Peak, Report, Row, faster, gemm_peak, in_turn, share_of_peak, wall
from benchmarks.workload import Workload, decoder, evenly, useful_operations, workload
from project.annotation.engines.base import Annotator, Answers
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.experiment import AnnotateConfig
from project.support.models import annotator_source, quiet_transformers

CLOSE = (
    1e-4  # log probabilities: kernels add in other orders, which float32 shows in the fifth digit
)


class Settings(NamedTuple):
    """``texts``: that our side reads in a repeat; ``few``: that a slow side reads."""

    texts: int
    few: int
    repeats: int
    price_hour: float


@dataclass
class Reader:
    """One of our engines at work on a workload. ``answers``: log probabilities ``(n_texts, n_classes)`` of each repeat."""

    annotator: Annotator
    work: Workload
    answers: dict[int, np.ndarray] = field(default_factory=dict)
    mass: dict[int, np.ndarray] = field(default_factory=dict)

    def seconds(self, repeat: int) -> float:
        """Seconds for one text under the repeat's prompt: all texts, in shards as annotation does, the prefix computed anew."""
        prompt, texts, size = self.work.prompts[repeat], self.work.texts, self.annotator.shard_size
        shards: list[Answers] = []
        took = wall(
            lambda: shards.extend(
                self.annotator.read(prompt, texts[start : start + size])
                for start in range(0, len(texts), size)
            )
        )
        self.answers[repeat] = np.concatenate([shard.log_probabilities for shard in shards])
        self.mass[repeat] = np.concatenate([shard.label_mass for shard in shards])
        return took / len(texts)


def against_generate(settings: Settings, folder: str, report: Report) -> None:
    """Our engine in float32 and bfloat16 against ``generate`` of one token, one whole prompt at a time, in float32."""
    ours = {dtype: _engine(folder, dtype) for dtype in ("float32", "bfloat16")}
    name, tokens = ours["float32"].name, ours["float32"].tokens
    _, plain = _plain_model(folder)
    work, warm = workload(tokens, n_texts=settings.texts, repeats=settings.repeats)
    fitted = [tokens.fit(prompt, work.texts) for prompt in work.prompts]
    readers = {dtype: Reader(annotator, work) for dtype, annotator in ours.items()}
    scores: dict[tuple[int, int], np.ndarray] = {}

    def generate(repeat: int) -> float:
        chosen = evenly(settings.texts, settings.few, repeat)
        prompts = [[*fitted[repeat].prefix, *fitted[repeat].suffixes[index]] for index in chosen]
        rows: list[np.ndarray] = []
        took = wall(lambda: rows.extend(_generate(plain, prompt) for prompt in prompts))
        scores.update({(repeat, index): row for index, row in zip(chosen, rows, strict=True)})
        return took / len(chosen)

    for annotator in ours.values():  # loading, and the check whether packing is exact
        annotator.read(warm, work.texts[:2])
    _generate(plain, [*fitted[0].prefix, *fitted[0].suffixes[0]])
    sides: dict[str, Callable[[int], Any]] = {"generate": generate}
    for dtype, reader in readers.items():
        sides[f"peak {dtype}"] = functools.partial(_peak, dtype)
        sides[dtype] = reader.seconds
    found = in_turn(sides, settings.repeats)

    quick = (
        torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )  # else bfloat16 is float32 with detours
    for dtype, target in (("float32", 8.0), ("bfloat16", 12.0 if quick else None)):
        measure = f"{name}: a text, {dtype}, against generate(max_new_tokens=1) in float32"
        report.rows.append(faster(measure, found[dtype], found["generate"], target=target))
    sizes, tries = decoder(plain), [tokens.trie(prompt) for prompt in work.prompts]
    operations = [
        useful_operations(sizes, one, trie) for one, trie in zip(fitted, tries, strict=True)
    ]
    for dtype, wanted in (("float32", 0.75), ("bfloat16", None)):
        rate = statistics.median(
            flops / (seconds * settings.texts)
            for flops, seconds in zip(operations, found[dtype], strict=True)
        )
        report.rows.append(
            share_of_peak(
                f"{name}: useful operations, {dtype}", rate, found[f"peak {dtype}"], wanted
            )
        )
    report.rows.append(_noise(name, readers))
    if len(tries[0].nodes) == 1:
        report.rows.append(_agreement(name, readers["float32"], scores, tries[0].nodes[0].tokens))
    packed = ", ".join(
        f"{dtype} {'yes' if annotator.packed else 'no'}" for dtype, annotator in ours.items()
    )
    for dtype, annotator in ours.items():
        report.rows += gpu_rows(
            f"{name}: {dtype}", statistics.median(found[dtype]), settings.price_hour
        )
        annotator.close()
    report.notes += [
        f"transformers: {name}, prefix of {np.mean([len(one.prefix) for one in fitted]):.0f} tokens and "
        f"{np.mean([len(suffix) for suffix in fitted[0].suffixes]):.0f} behind it on average. A repeat has its own prompt, with which ours reads "
        f"{settings.texts} texts, prefix included, and generate {settings.few}; {settings.repeats} repeats. "
        f"Texts packed: {packed}.",
        f"useful operations of {name}: 2 × {sizes.weights:,} weights of the linear layers × tokens (prefix once, texts, inner nodes of the label "
        f"trie); attention 4 × {sizes.layers} layers × {sizes.attention} × pairs of a token and one that it sees; head 2 × {sizes.hidden} × "
        f"{sizes.vocabulary} × {len(tries[0].nodes)} place(s) in a text. Not counted: norms, rotations, softmax, masked pairs, padding, tokenising. "
        "Peak: the fastest product of two large square matrices in this run, by whichever of torch's libraries is faster.",
    ]


def against_lm_eval(settings: Settings, folder: str, report: Report) -> None:
    """Our engine in float32 against ``HFLM.loglikelihood`` of lm-evaluation-harness, same prompts, same labels, same dtype."""
    if importlib.util.find_spec("lm_eval") is None:
        report.rows.append(Row("lm-evaluation-harness", "not run: lm_eval is not installed here"))
        return
    annotator = _engine(folder, "float32")
    tokenizer, plain = _plain_model(folder)
    # a letter is one token, which lm-eval reads together with the others; names are what is shown by default
    for style in ("letter", "name"):
        work, warm = workload(
            annotator.tokens, n_texts=settings.texts, repeats=settings.repeats, style=style
        )
        annotator.read(warm, work.texts[:2])
        _lm_eval(settings, Reader(annotator, work), tokenizer, plain, f"labels as {style}s", report)


def _lm_eval(
    settings: Settings, reader: Reader, tokenizer: Any, plain: Any, labels: str, report: Report
) -> None:
    harness: Any = importlib.import_module("lm_eval.models.huggingface")
    instance: Any = importlib.import_module("lm_eval.api.instance").Instance
    models = {
        size: harness.HFLM(pretrained=plain, tokenizer=tokenizer, batch_size=size)
        for size in (1, 8)
    }
    picked: dict[int, np.ndarray] = {}

    def ask(size: int, repeat: int) -> float:
        prompt, chosen = reader.work.prompts[repeat], evenly(settings.texts, settings.few, repeat)
        pairs = [
            (prompt.render(reader.work.texts[index]), answer)
            for index in chosen
            for answer in prompt.answers
        ]
        requests = [
            instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs
        ]
        given: list[tuple[float, bool]] = []
        took = wall(lambda: given.extend(models[size].loglikelihood(requests, disable_tqdm=True)))
        picked[repeat] = (
            np.array([value for value, _ in given]).reshape(len(chosen), -1).argmax(axis=1)
        )
        return took / len(chosen)

    tried = {size: ask(size, 0) for size in (1, 8)}
    best = min(tried, key=lambda size: tried[size])
    found = in_turn(
        {"lm_eval": lambda repeat: ask(best, repeat), "ours": reader.seconds}, settings.repeats
    )
    name, prompt = reader.annotator.name, reader.work.prompts[0]
    measure = f"{name}: a text, float32, {labels}, against lm-eval (HFLM.loglikelihood, batch_size={best})"
    report.rows.append(faster(measure, found["ours"], found["lm_eval"], target=5.0))
    whole, *answered = (
        tokenizer(text)["input_ids"]
        for text in (
            prompt.render("text"),
            *(prompt.render("text") + one for one in prompt.answers),
        )
    )
    single = all(len(ids) == len(whole) + 1 for ids in answered)
    chosen = {repeat: list(evenly(settings.texts, settings.few, repeat)) for repeat in picked}
    same = np.concatenate(
        [
            reader.answers[repeat][chosen[repeat]].argmax(axis=1) == picked[repeat]
            for repeat in picked
        ]
    )
    how = (
        "each label one token"
        if single
        else "lm-eval reads whole labels, ours the tokens that tell them apart"
    )
    target = ("100%", bool(same.all())) if single else ("", None)
    report.rows.append(
        Row(
            f"{name}: same label as lm-eval, {labels}",
            f"{same.mean():.0%}",
            f"{len(same)} texts",
            how,
            *target,
        )
    )
    report.notes.append(
        f"lm_eval, {labels}: batch_size 1 took {tried[1]:.3g} s and 8 {tried[8]:.3g} s for a text at the first try; the faster one was measured, on "
        f"{settings.few} texts a repeat, ours on {settings.texts}. Its reuse of a context for labels of one token is on, as by default."
    )


def _peak(dtype: str, repeat: int) -> Peak:
    del repeat
    return gemm_peak(dtype)


def gpu_rows(measure: str, seconds: float, price_hour: float) -> list[Row]:
    """Texts a second, and what 1,000 labels take and cost on a GPU; nothing where there is none."""
    if not torch.cuda.is_available():
        return []
    price = (
        f"{seconds * 1000 / 3600 * price_hour:.3g} at {price_hour:g} an hour"
        if price_hour
        else "price: give --price-hour"
    )
    return [
        Row(
            f"{measure}, 1,000 labels on a GPU",
            f"{1 / seconds:,.0f} texts/s",
            f"{seconds * 1000:.3g} GPU-seconds",
            price,
        )
    ]


def _engine(folder: str, dtype: str) -> TransformersAnnotator:
    return TransformersAnnotator(AnnotateConfig(annotator_model=folder, annotator_dtype=dtype))


def _plain_model(folder: str) -> tuple[Any, Any]:
    """The tokenizer, and the model in float32 as anybody loads it, apart from the one that our engine holds."""
    source = annotator_source(folder, "main")
    with quiet_transformers():
        tokenizer: Any = AutoTokenizer.from_pretrained(source.location, revision=source.revision)
        model: Any = AutoModelForCausalLM.from_pretrained(
            source.location, revision=source.revision, dtype=torch.float32
        )
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _generate(model: Any, ids: Sequence[int]) -> np.ndarray:
    """Log probabilities over the vocabulary, ``(n_tokens,)``, the way that the documentation of ``generate`` shows."""
    row = torch.tensor([list(ids)], device=model.device)
    output = model.generate(
        row,
        attention_mask=torch.ones_like(row),
        max_new_tokens=1,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        pad_token_id=model.config.eos_token_id,
    )
    found: np.ndarray = output.scores[0][0].float().log_softmax(-1).cpu().numpy()
    return found


def _noise(name: str, readers: dict[str, Reader]) -> Row:
    """How far bfloat16 is from float32 over all repeats, texts and classes."""
    exact, rough = readers["float32"].answers, readers["bfloat16"].answers
    apart = np.concatenate([np.abs(exact[repeat] - rough[repeat]).ravel() for repeat in exact])
    flipped = np.concatenate(
        [exact[repeat].argmax(axis=1) != rough[repeat].argmax(axis=1) for repeat in exact]
    )
    measure = f"{name}: bfloat16 away from float32, log probability of a class"
    return Row(
        measure,
        f"median {np.median(apart):.2g}, most {apart.max():.2g}",
        f"{len(flipped)} answers",
        f"{flipped.mean():.1%} other labels",
    )


def _agreement(
    name: str, reader: Reader, scores: dict[tuple[int, int], np.ndarray], columns: Sequence[int]
) -> Row:
    """How far our float32 answers are from those of ``generate``, both normalised over the labels."""
    theirs = np.array([row[list(columns)] for row in scores.values()], dtype=np.float64)
    theirs -= np.logaddexp.reduce(theirs, axis=1)[:, None]
    ours = np.array([reader.answers[repeat][index] for repeat, index in scores])
    apart, same = (
        float(np.abs(ours - theirs).max()),
        (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean(),
    )
    measure = f"{name}: float32 away from generate, log probability of a class"
    return Row(
        measure,
        f"most {apart:.1e}",
        f"{len(ours)} answers",
        f"{same:.0%} same labels",
        f"<= {CLOSE:g}",
        apart <= CLOSE,
    )
