"""How an experiment was made and what to cite, for the end of its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.store.experiment import Experiment

CITE = (
    "The software: Assay, with its version and the run.",
    "Validation on human labels: Nicholas Pangakis and Sam Wolken (2024), Knowledge Distillation "
    "in Automated Annotation, arXiv:2406.17633.",
)
"""What to cite of an audit."""
_METHODS = (
    "The method: Yucheng Lu and Kazimier Smith (2025), Feeding LLM Annotations to BERT Classifiers "
    "at Your Own Risk, arXiv:2504.15432.",
    "The agreement: Klaus Krippendorff, Content Analysis: An Introduction to Its Methodology.",
    "The software: Assay, with its version (above) and the run.",
)


def facts(experiment: Experiment) -> Mapping[str, str]:
    """How the experiment was made: facts by name."""
    config: dict[str, Any] = experiment.config
    task = config["task"]
    identities = config["identities"]
    versions = config["versions"].items()
    found = {
        "run": experiment.root.run_id,
        "source": task["source"],
        "examples": ", ".join(f"{split} {n}" for split, n in task["counts"].items()),
        "annotator": ", ".join(f"{key}={value}" for key, value in identities["annotator"].items())
        or "none",
        "encoder": identities["encoder"],
        "versions": ", ".join(f"{package} {version}" for package, version in versions),
        "content (sha256)": task["examples_sha256"],
        "licence": task["licence"],
        "citation": task["citation"],
    }
    for name, values in config["config"].items():
        if name != "host":  # paths of one machine mean nothing to other readers
            settings = [
                f"{key}={value}" for key, value in values.items() if value not in ("", None)
            ]
            found[name] = ", ".join(settings)
    return found


def cite(experiment: Experiment) -> list[str]:
    """What to cite: the data, and the methods."""
    citation = str(experiment.config["task"].get("citation") or "")
    return [*([f"The data: {citation}"] if citation else []), *_METHODS]
