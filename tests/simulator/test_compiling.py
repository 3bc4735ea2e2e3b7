from __future__ import annotations

import numba
import numpy as np
import pytest

from simulator.compiling import Compiled


def _doubled(values: np.ndarray) -> np.ndarray:
    return 2.0 * values


def test_without_a_folder_to_keep_it_in_it_is_compiled_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = numba.njit

    def no_folder(*arguments: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*arguments, **options)

    monkeypatch.setattr(numba, "njit", no_folder)
    assert Compiled(_doubled)(np.ones(3)).tolist() == [2.0, 2.0, 2.0]
