"""What parameters from the tracking store must not do without the user's consent.

People who may log to a store can write any parameters into it. These must not send the user's key
to a server, run code, or write into a storage.
"""

from __future__ import annotations

from collections.abc import Mapping

from project.config.engines import sends_texts


def risks(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters that need the user's consent, with what they would do.

    Parameters
    ----------
    params
        Parameters by name, as text.

    """
    found = {}
    if params.get("remote_code"):
        found["remote_code"] = f"run code that comes with {params['remote_code']}"
    if sends_texts(params.get("annotator", "")):
        key = params.get("api_key_variable", "")
        found["annotator_url"] = f"send your key in {key} to {params.get('annotator_url', '')}"
    if params.get("sweep_storage"):
        found["sweep_storage"] = f"write into {params['sweep_storage']}"
    return found
