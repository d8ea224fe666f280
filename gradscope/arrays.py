"""Array aliases and the index convention that every room shares.

Time comes first, then sequences, then units: ``(T, B, H)``. Hidden states are counted from the
given ``h_0``, so ``hidden[t]`` is ``h_t`` for t = 0 … T and has T + 1 entries; whatever belongs to
a step (pre-activations, slopes, outputs, inputs, step errors) has T entries and step t stands at
``[t - 1]``. Lags count from 1, so lag ℓ stands at ``[ℓ - 1]``.
"""

import numpy as np

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
ComplexArray = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]
