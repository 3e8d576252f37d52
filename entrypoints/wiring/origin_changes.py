"""What has changed since a run: inputs and models, code, machine and packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MACHINE = ("python", "platform", "cpu", "gpus", "gpu_driver")
_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "vllm",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "cleanlab",
    "datasets",
    "krippendorff",
    "optuna",
    "mlflow",
)
"""Packages that can change a result, or how it is logged."""


def changed_inputs(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence for each input or model that has changed.

    Parameters
    ----------
    then, now
        See :func:`entrypoints.wiring.provenance.provenance`.
    """
    changes = []
    for name, before in then["inputs"].items():
        sha256 = now["inputs"].get(name, {}).get("sha256")
        if before["sha256"] and not sha256:
            changes.append(f"{name} ({before['place']}) is missing")
        elif before["sha256"] and sha256 != before["sha256"]:
            changes.append(
                f"{name} ({before['place']}) has another content: sha256 "
                f"{before['sha256'][:12]} then, {sha256[:12]} now"
            )
    # Inputs that could not be read then have no hash to compare with. Nor have data of the hub
    # that are not loaded.
    for name, today in now["inputs"].items():
        had_hash = bool(then["inputs"].get(name, {}).get("sha256"))
        is_of_hub = str(today["place"]).startswith("hub ")
        if today["sha256"] and not had_hash and not is_of_hub:
            changes.append(
                f"{name} ({today['place']}) has no hash from then, so that it may be any file"
            )
    for name, identity in then["models"].items():
        if now["models"].get(name) != identity:
            changes.append(
                f"{name} is another model: {identity} then, {now['models'].get(name)} now"
            )
    return changes


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each other difference: code, machine, and versions of packages that matter."""
    same_code = then["code_version"] == now["code_version"]
    remark = "; the code is the same" if same_code else ""
    commits = [facts["git"]["commit"][:12] for facts in (then, now)]
    changes = [_changes(facts["git"]) for facts in (then, now)]
    pairs = [("commit", *commits, remark), ("uncommitted changes", *changes, remark)]
    pairs += [
        (name.replace("_", " "), then["machine"].get(name), now["machine"].get(name), "")
        for name in _MACHINE
    ]
    pairs += [
        (name, then["packages"].get(name, ""), now["packages"].get(name, ""), "")
        for name in _PACKAGES
    ]
    lines = [
        f"{name}: {_in_words(before)} then, {_in_words(today)} now{more}"
        for name, before, today, more in pairs
        if before != today
    ]
    if not same_code and not lines:
        lines.append(f"code: version {then['code_version']} then, {now['code_version']} now")
    return lines


def _changes(git: Mapping[str, Any]) -> str:
    """Names of changed tracked files and the hash of their diff."""
    if not git["changed"]:
        return ""
    return f"{', '.join(git['changed'][:5])} ({git['diff_sha256'][:12] or 'no diff'})"


def _in_words(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text or "none"
