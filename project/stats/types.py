"""The arrays of this package: one name for each kind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""Real numbers."""
Codes = npt.NDArray[np.int64]
"""Class indices in the order of the label set; -1 where there is no label."""
Mask = npt.NDArray[np.bool_]
"""Which elements are meant."""
