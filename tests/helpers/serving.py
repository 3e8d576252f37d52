"""Servers and annotators for the tests of the openai engine, and the prompts they are given."""

import contextlib
import string

from project.annotation.demonstrations import demonstration_sets
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.annotation.prompt import Prompt, build_prompt
from project.config.annotation import AnnotateConfig, ServerConfig
from tests.helpers.faulty_server import FaultyServer

LETTERS = [space + letter for letter in string.ascii_uppercase for space in ("", " ")]
TEXTS = [f"text number {number}, about {'xyz'[number % 3]}" for number in range(24)]


@contextlib.contextmanager
def serving():
    """A function that starts a server and an annotator for it; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def open_both(
            vocabulary=LETTERS,
            *,
            tokenizer="none",
            repeats=0,
            temperature=0.6,
            model="model",
            max_model_len=None,
            settings=None,
            reasoning="off",
            max_reasoning_tokens=4096,
            **limits,
        ):
            """``settings``: of the server's configuration; ``limits``: see ServerLimits."""
            server = stack.enter_context(FaultyServer(vocabulary, **limits))
            config = AnnotateConfig(
                annotator="openai",
                annotator_model=model,
                repeats=repeats,
                temperature=temperature,
                max_model_len=max_model_len,
                reasoning=reasoning,
                max_reasoning_tokens=max_reasoning_tokens,
            )
            values = {
                "annotator_url": server.url,
                "annotator_tokenizer": str(tokenizer),
                "request_timeout": 5.0,
                "request_retries": 3,
                **(settings or {}),
            }
            annotator = OpenAIAnnotator(config, ServerConfig(**values))
            stack.callback(annotator.close)
            return server, annotator

        yield open_both


def prompt_of(answers=(" A", " B", " C"), *, chat=False, system=""):
    return Prompt(
        draw=0,
        before="Sort it.\nText: ",
        after="\nLabel:",
        answers=tuple(answers),
        demonstration_ids=(),
        chat=chat,
        system=system,
    )


def task_prompt(task, style):
    return build_prompt(
        task.label_set,
        "Sort it.",
        demonstration_sets(task.split("demonstration"), 1, 1, seed=0)[0],
        style=style,
        draw=0,
    )
