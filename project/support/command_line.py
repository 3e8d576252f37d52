"""How a parameter is given on the command line of ``mlflow run``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def options(parameters: Mapping[str, object]) -> str:
    """Parameters as options of ``mlflow run``, such as ``-P max_test=500 -P seeds=10``."""
    return " ".join(f"-P {shlex.quote(f'{name}={value}')}" for name, value in parameters.items())
