"""The vLLM engine against bare ``LLM.generate`` and against the usual way to get labels out of vLLM."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.engines import Reader, Settings, gpu_rows
from benchmarks.machine import Report, Row, faster, in_turn, wall
from benchmarks.workload import workload
from project.config.experiment import AnnotateConfig

TOP = 20  # alternatives that vLLM lists for a position unless it is started otherwise, and the most that hosted servers list


def against_vllm(settings: Settings, folder: str, report: Report) -> None:
    """Our reading against the engine's own call on the same token ids, and against a choice with its top alternatives."""
    if importlib.util.find_spec("vllm") is None:
        report.rows.append(Row("vLLM", "not run: vllm is not installed here"))
        return
    annotator: Any = importlib.import_module("project.annotation.engines.vllm").VllmAnnotator(
        AnnotateConfig(annotator="vllm", annotator_model=folder, max_model_len=2048)
    )
    try:
        _measure(settings, folder, annotator, report)
    finally:
        annotator.close()


def _measure(settings: Settings, folder: str, annotator: Any, report: Report) -> None:
    vllm: Any = importlib.import_module("vllm")
    choice: Any = importlib.import_module("vllm.sampling_params").StructuredOutputsParams
    engine, name = annotator.engine, annotator.name
    work, _ = workload(annotator.tokens, n_texts=settings.texts, repeats=settings.repeats)
    reader = Reader(annotator, work)
    tries = [annotator.tokens.trie(prompt) for prompt in work.prompts]
    fitted = [annotator.tokens.fit(prompt, work.texts) for prompt in work.prompts]
    ids = [
        [{"prompt_token_ids": [*one.prefix, *suffix]} for suffix in one.suffixes] for one in fitted
    ]
    wanted = vllm.SamplingParams(
        max_tokens=1,
        temperature=0.0,
        logprob_token_ids=list(tries[0].nodes[0].tokens),
        flat_logprobs=True,
        detokenize=False,
    )
    chosen = vllm.SamplingParams(
        max_tokens=16,
        temperature=0.0,
        logprobs=TOP,
        structured_outputs=choice(choice=list(work.prompts[0].answers)),
    )
    listed: dict[int, list[Any]] = {}
    generate, inside, outside = engine.generate, list[float](), list[float]()

    def timed(*arguments: Any, **options: Any) -> Any:
        found: list[Any] = []
        inside.append(wall(lambda: found.extend(generate(*arguments, **options))))
        return found

    def fresh(work: Callable[[], Any]) -> float:
        """Seconds of ``work``, which finds no prefix in the engine's cache."""
        engine.reset_prefix_cache()
        return wall(work) / settings.texts

    def usual(repeat: int) -> float:
        found: list[Any] = []
        took = fresh(lambda: found.extend(engine.generate(ids[repeat], chosen, use_tqdm=False)))
        listed[repeat] = [one.outputs[0] for one in found]
        return took

    def ours(repeat: int) -> float:
        inside.clear()
        took = fresh(lambda: reader.seconds(repeat))
        outside.append(took - sum(inside) / settings.texts)
        return took

    engine.generate = timed
    sides: dict[str, Callable[[int], float]] = {
        "bare": lambda repeat: fresh(
            lambda: engine.generate(ids[repeat], [wanted] * settings.texts, use_tqdm=False)
        ),
        "ours": ours,
        "usual": usual,  # a batch of its own: vLLM's first model runner spoils logprobs=20 beside logprob_token_ids
    }
    for side in sides.values():  # kernels and grammar are made ready
        side(0)
    found = in_turn(sides, settings.repeats)

    if len(tries[0].nodes) == 1:
        slower = (
            statistics.median(
                one / other for one, other in zip(found["ours"], found["bare"], strict=True)
            )
            - 1
        )
        one, other = (
            f"{statistics.median(found[side]) * 1000:.3g} ms" for side in ("ours", "bare")
        )
        measure = f"{name}: a text with vLLM, against bare LLM.generate on the same ids"
        report.rows.append(Row(measure, one, other, f"{slower:+.1%}", "<= +5%", slower <= 0.05))
    own, whole = statistics.median(outside[-settings.repeats :]), statistics.median(found["ours"])
    report.rows.append(
        Row(
            f"{name}: of that outside LLM.generate",
            f"{own * 1000:.2g} ms",
            "",
            f"{own / whole:.1%}",
        )
    )
    measure = f"{name}: a text with vLLM, against structured_outputs.choice with logprobs={TOP}"
    report.rows.append(faster(measure, found["ours"], found["usual"], target=1.0))
    report.rows += _lacking(name, reader, listed, tries[0].nodes[0].tokens)
    report.rows += gpu_rows(f"{name}: vLLM", statistics.median(found["ours"]), settings.price_hour)
    report.notes.append(
        f"vllm: dtype {engine.llm_engine.model_config.dtype}, {settings.texts} texts a repeat, {settings.repeats} repeats, each with its own prompt; "
        "the prefix cache is emptied before every timing. Ours includes tokenising and the table of answers, the other sides are given token ids."
    )


def _lacking(
    name: str, reader: Reader, listed: dict[int, list[Any]], firsts: tuple[int, ...]
) -> list[Row]:
    """What a choice with its top alternatives does not say: the label mass, and the classes whose first token it does not list."""
    rows = [
        [one.logprobs[0].get(token) for token in firsts]
        for outputs in listed.values()
        for one in outputs
    ]
    missing = np.array(
        [[one is None or not np.isfinite(one.logprob) for one in row] for row in rows]
    )
    theirs = np.array(
        [sum(float(np.exp(one.logprob)) for one in row if one is not None) for row in rows]
    )
    ours = np.concatenate([reader.mass[repeat] for repeat in listed])
    measure = f"{name}: label mass, median over texts"
    return [
        Row(
            measure,
            f"{np.median(ours):.3g}",
            f"{np.median(theirs):.3g} on the labels' first tokens, made to sum to 1 by the grammar",
            "not given",
        ),
        Row(
            f"{name}: classes that the top {TOP} leave out",
            "0",
            f"{missing.sum()} of {missing.size}",
            f"{missing.any(axis=1).mean():.1%} of texts",
        ),
    ]
