"""The kinds of arrays in this package, one name each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""Real numbers."""
Singles = npt.NDArray[np.float32]
"""Real numbers of many replicates, in half the memory."""
Codes = npt.NDArray[np.int64]
"""Class indices in the order of the label set; -1 where there is no label."""
Weights = npt.NDArray[np.number[Any]]
"""How often each example counts in many replicates: how often it is drawn, or a real number."""
Mask = npt.NDArray[np.bool_]
"""Which elements are selected."""
Counts = npt.NDArray[np.signedinteger[Any]]
"""Numbers of examples or answers."""
