"""How the solvers' loops are compiled."""

from __future__ import annotations

from numba import njit

#: Kept on disk between runs, free of the interpreter lock, without Python's checks of divisors. Code under it is
#: written in plain loops: numba compiles array expressions many times slower, and T×T work gains nothing by them.
compiled = njit(cache=True, nogil=True, error_model="numpy")
