"""Facts about each annotation engine, for the code that uses it. No engine is imported here.

Adding an engine takes one file with a class that follows
``project.annotation.engines.base.Annotator``, and one entry below. A package outside this tree
calls :func:`register_engine` instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from project.support.errors import AssayError, unknown_value

ARGUMENTS = ("annotate", "server", "recorded", "task")
"""Arguments that an engine may take: sections of the experiment's configuration, and the task."""


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """Facts about one engine.

    Parameters
    ----------
    open
        ``module:Class`` of the annotator, imported when the engine is first used.
    takes
        Arguments of the class, in order, out of ``ARGUMENTS``.
    about
        A few words for the help of the parameter ``annotator``; empty where the name is enough.
    write
        ``module:Class`` of the same model as a writer of texts
        (:class:`project.annotation.writing.base.Writer`), with the same arguments; empty if the
        engine cannot write.
    has_prompt
        A model reads a prompt. Otherwise the labels exist already, and the annotator names its own
        draws; see ``PromptlessAnnotator``.
    scores_pairs
        The model scores pairs of a text and a label's text. Its prompt has no demonstrations and
        one draw, and its answers have no label mass.
    local_weights
        ``annotator_model`` names weights that this machine loads.
    runs_here
        The model runs on this machine. Several GPUs then mean several copies, each in a process of
        its own.
    needs_gpu
        The engine is meant for machines with a GPU.
    price_by_tokens
        Its provider charges for tokens; otherwise only the time of this machine costs something.
    server
        Texts are sent to the OpenAI-compatible server at ``annotator_url``, with the key in the
        environment variable that ``api_key_variable`` names.
    package
        Python package that it needs beyond ``requirements.txt``.
    without_package
        What to do where that package is not installed: one sentence.
    shards_at_once
        How many shards of texts one annotator reads at the same time, each from a thread.
    """

    open: str
    takes: tuple[str, ...] = ("annotate",)
    about: str = ""
    write: str = ""
    has_prompt: bool = True
    scores_pairs: bool = False
    local_weights: bool = False
    runs_here: bool = False
    needs_gpu: bool = False
    price_by_tokens: bool = False
    server: bool = False
    package: str = ""
    without_package: str = ""
    shards_at_once: int = 1

    def __post_init__(self) -> None:
        """Refuse facts with which the engine could not be opened."""
        for field, path in (("open", self.open), ("write", self.write)):
            module, _, name = path.partition(":")
            is_path = all(part.isidentifier() for part in (*module.split("."), name))
            if not is_path and (path or field == "open"):
                raise AssayError(
                    f"an engine's {field} must be 'module:Class'; got {path!r}. "
                    "Name the module as it is imported, a colon and the class."
                )
        for argument in self.takes:
            if argument not in ARGUMENTS:
                raise unknown_value("an engine's takes", argument, ARGUMENTS)


ENGINES: dict[str, EngineFacts] = {
    "transformers": EngineFacts(
        open="project.annotation.engines.transformers.engine:TransformersAnnotator",
        write="project.annotation.engines.transformers.writer:TransformersWriter",
        local_weights=True,
        runs_here=True,
    ),
    "vllm": EngineFacts(
        open="project.annotation.engines.vllm.engine:VllmAnnotator",
        write="project.annotation.engines.vllm.writer:VllmWriter",
        local_weights=True,
        runs_here=True,
        needs_gpu=True,
        package="vllm",
        without_package="The file conda.yaml lists it, requirements.txt does not. Use "
        "annotator=transformers here, or annotator=openai with a vLLM server elsewhere.",
        # While the answers to one shard are written, the engine reads another.
        shards_at_once=2,
    ),
    "openai": EngineFacts(
        open="project.annotation.engines.openai.engine:OpenAIAnnotator",
        write="project.annotation.engines.openai.writer:OpenAIWriter",
        takes=("annotate", "server"),
        about="any OpenAI-compatible server",
        price_by_tokens=True,
        server=True,
        # Enough shards that no request waits for the slowest text of a shard. How many requests
        # are sent at the same time is limited by the client.
        shards_at_once=16,
    ),
    "rerank": EngineFacts(
        open="project.annotation.engines.rerank.engine:RerankAnnotator",
        about="a cross-encoder, a reranker or an NLI model, which scores each label",
        scores_pairs=True,
        local_weights=True,
        runs_here=True,
    ),
    "recorded": EngineFacts(
        open="project.annotation.engines.recorded:RecordedAnnotator",
        takes=("recorded", "task"),
        about="labels in a file",
        has_prompt=False,
    ),
}
"""Facts about every engine by its name, the value of the parameter ``annotator``."""


def register_engine(name: str, facts: EngineFacts) -> None:
    """Add an engine to ``ENGINES``.

    Raises AssayError where another engine has the name, or where nobody could type it.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise AssayError(
            "the name of an engine must begin with a lower-case letter and go on with lower-case "
            f"letters, digits, _ and -; got {name!r}. Choose another name."
        )
    # The same facts again are no error: a package may be imported twice under two names.
    if ENGINES.get(name, facts) != facts:
        raise AssayError(
            f"an engine named {name} is registered already, at {ENGINES[name].open}. "
            "Choose another name."
        )
    ENGINES[name] = facts


def engine_facts(name: str) -> EngineFacts:
    """The facts about the engine ``name``. Raises AssayError where no engine has the name."""
    if name not in ENGINES:
        raise unknown_value("annotator", name, tuple(ENGINES))
    return ENGINES[name]


def has_prompt(name: str) -> bool:
    """Whether a model reads a prompt with this engine; true for an engine that is not registered.

    A stored run may have an engine that a package on another machine registered.
    """
    return name not in ENGINES or ENGINES[name].has_prompt


def sends_texts(name: str) -> bool:
    """Whether the engine ``name`` sends texts and a key to the server in ``annotator_url``."""
    return name in ENGINES and ENGINES[name].server


def engines_help() -> str:
    """The names of all engines and a few words about them, for the help of a parameter."""
    names = [f"{name} ({facts.about})" if facts.about else name for name, facts in ENGINES.items()]
    return f"{', '.join(names[:-1])} or {names[-1]}"
