"""A model with a few topics: it proposes those of the texts it is shown, and labels by them.

The engine ``topics`` of the tests: one class for each of its two uses. Both fail for a request that
is not of a known form.
"""

import re

import numpy as np

from project.annotation.engines.base import Answers, Size
from project.annotation.writing.base import Reply
from project.config.engines import EngineFacts, register_engine

TOPICS = {
    "Billing": ("invoice", "refund"),
    "Delivery": ("parcel", "courier"),
    "Account": ("password", "login"),
    "App": ("crash", "button"),
}
UNLIMITED = 10**9
COUNTS = {"written": 0, "labelled": 0, "until": UNLIMITED, "breaks_off": False}
"""Replies and labels so far, for tests that count what is asked again. A person interrupts the
writing after ``until`` replies; where it ``breaks_off``, no reply is whole."""


def register():
    """Make the engine ``topics`` known; the counts begin anew."""
    COUNTS.update(written=0, labelled=0, until=UNLIMITED, breaks_off=False)
    register_engine(
        "topics",
        EngineFacts(
            open="tests.helpers.topics:TopicAnnotator",
            write="tests.helpers.topics:TopicWriter",
        ),
    )


def texts(n, seed=0, topics=tuple(TOPICS)):
    """Texts about one topic each, the first ones most often; every tenth about none."""
    random = np.random.default_rng(seed)
    weights = np.arange(len(topics), 0, -1) / sum(range(len(topics) + 1))
    found = []
    for number in range(n):
        topic = random.choice(topics, p=weights)
        word = random.choice(TOPICS[topic]) if number % 10 else "weather"
        found.append(f"letter {number}: this is about the {word}, please answer")
    return found


def topic_of(text):
    """The topic of a text, None without one."""
    return next((name for name, words in TOPICS.items() if any(w in text for w in words)), None)


class TopicWriter:
    """Proposes the topics of the texts that a request shows, under names that follow its seed."""

    name = "topics"

    def __init__(self, config):
        del config
        self.identity = {"engine": "topics"}

    def write(self, requests, arrived):
        for position, request in enumerate(requests):
            if COUNTS["written"] == COUNTS["until"]:
                raise KeyboardInterrupt
            COUNTS["written"] += 1
            reply = Reply(_reply(request), len(request.prompt) // 4, 20, not COUNTS["breaks_off"])
            arrived(position, reply)

    def close(self):
        pass


def _reply(request):
    prompt = request.prompt
    if "Write all labels that fit" in prompt:
        (text,) = re.findall(r"Text:\n(.*?)\n\nWrite all", prompt, re.DOTALL)
        fitting = [name for name, words in TOPICS.items() if any(word in text for word in words)]
        return "; ".join(fitting) or "None."
    if "Summarise the text" in prompt:
        (text,) = re.findall(r"Text:\n(.*?)\n\nSummarise", prompt, re.DOTALL)
        return text.split(",")[0]
    known = re.findall(r"^([\w ]+): about", prompt, re.MULTILINE)
    shown = [topic_of(line) for line in prompt.splitlines() if line.startswith("- ")]
    if not shown and "Review the list" not in prompt:
        raise AssertionError(f"not a request for labels: {prompt[:200]}")
    style = "{}" if request.seed < 3 else "{} letters"
    topics = [*(name.removesuffix(" letters") for name in known), *filter(None, shown)]
    names = [style.format(name) for name in dict.fromkeys(topics)]
    return "\n".join(f"- {name}: about {name.lower()}" for name in names)


class TopicAnnotator:
    """Gives 0.9 to the label that names the topic of a text, else to the last label."""

    name = "topics"
    keyed_by = "text"
    shard_size = 64

    def __init__(self, config):
        del config
        self.identity = {"engine": "topics"}

    def read(self, prompt, items, arrived=None):
        COUNTS["labelled"] += len(items)
        labels = list(prompt.label_set)
        rows = []
        for text in items:
            topic = topic_of(text)
            own = [index for index, name in enumerate(labels) if topic and topic in name]
            rest = 0.1 / (len(labels) - 1)
            row = np.full(len(labels), rest)
            row[own[0] if own else len(labels) - 1] = 0.9
            rows.append(np.log(row))
        n = len(items)
        return Answers.exact(np.array(rows), np.zeros(n, bool), np.full(n, 50))

    def size(self, prompt, items):
        return Size(20, np.full(len(items), 50), 1, exact=True)

    def close(self):
        pass
