"""What parameters from the tracking store must not do without the user's consent.

Everyone who may log to a store can write any parameters into it. Read back, these must not send the
user's key to a server, run code, or write into a storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from project.config.engines import sends_texts
from project.config.loading import COMMAND_LINE, FILE, EffectiveConfig
from project.support.errors import AssayError


class Risk(NamedTuple):
    """What parameters would do.

    Attributes
    ----------
    name
        The parameter by which the user consents.
    effect
        What would be done, as a verb with its object.
    parameters
        The parameters on which it depends.
    """

    name: str
    effect: str
    parameters: tuple[str, ...]


def risks(params: Mapping[str, str]) -> list[Risk]:
    """What the parameters, as texts, would do that needs the user's consent."""
    found = []
    if code := params.get("remote_code"):
        effect = f"run code that comes with {code}"
        found.append(Risk("remote_code", effect, ("remote_code",)))
    if sends_texts(params.get("annotator", "")):
        key = params.get("api_key_variable", "")
        effect = f"send your key in {key} to {params.get('annotator_url', '')}"
        involved = ("annotator", "annotator_url", "api_key_variable")
        found.append(Risk("annotator_url", effect, involved))
    if storage := params.get("sweep_storage"):
        found.append(Risk("sweep_storage", f"write into {storage}", ("sweep_storage",)))
    return found


def check_consent(chosen: EffectiveConfig) -> None:
    """Refuse values of a file in the store that need consent by a parameter on the command line."""
    address = chosen.texts["config"]
    if not address.startswith("runs:/"):
        return
    for risk in risks(chosen.texts):
        from_file = [name for name in risk.parameters if chosen.origins[name].startswith(FILE)]
        if from_file and chosen.origins[risk.name] != COMMAND_LINE:
            raise AssayError(
                f"{address} would {risk.effect}. Anyone who may log to the store can have written "
                f"this. If it is right, set {risk.name} here too."
            )
