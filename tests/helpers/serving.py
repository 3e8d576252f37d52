"""Servers and annotators for the tests of the openai engine, and what they are asked."""

import contextlib
import string

from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.annotation.prompt import Prompt, build_prompt, demonstration_sets
from project.config.experiment import AnnotateConfig, ServerConfig
from tests.helpers.faulty_server import FaultyServer

LETTERS = [space + letter for letter in string.ascii_uppercase for space in ("", " ")]
TEXTS = [f"text number {number}, about {'xyz'[number % 3]}" for number in range(24)]


@contextlib.contextmanager
def serving():
    """A function that starts a server and an annotator for it; all of them are stopped at the end."""
    opened = []

    def open_both(
        vocabulary=LETTERS,
        *,
        tokenizer="none",
        repeats=0,
        model="model",
        max_model_len=None,
        server=None,
        **what,
    ):
        running = FaultyServer(vocabulary, **what).__enter__()
        config = AnnotateConfig(
            annotator="openai", annotator_model=model, repeats=repeats, max_model_len=max_model_len
        )
        given = {
            "annotator_url": running.url,
            "annotator_tokenizer": str(tokenizer),
            "request_timeout": 5.0,
            "request_retries": 3,
            **(server or {}),
        }
        annotator = OpenAIAnnotator(config, ServerConfig(**given))
        opened.extend([annotator, running])
        return running, annotator

    try:
        yield open_both
    finally:
        for one in opened:
            one.close() if isinstance(one, OpenAIAnnotator) else one.__exit__()


def prompt_of(answers=(" A", " B", " C"), *, chat=False, system=""):
    return Prompt(0, "Sort it.\nText: ", "\nLabel:", tuple(answers), (), chat, system)


def task_prompt(task, style):
    return build_prompt(
        task.label_set,
        "Sort it.",
        demonstration_sets(task.split("demonstration"), 1, 1, seed=0)[0],
        style=style,
        draw=0,
    )
