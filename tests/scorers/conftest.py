from __future__ import annotations

import numpy as np
import pytest

from st_mta.stores import Store
from st_mta.types import Texts
from tests.tiny import WORDS


def random_texts(prefix: str, count: int, longest: int, seed: int) -> Texts:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(count)]
    return Texts([f"{prefix}{i}" for i in range(count)], texts)


@pytest.fixture(scope="session")
def corpus() -> Texts:
    """120 passages; the last 20 repeat the first 20, so that searches have ties."""
    first = random_texts("p", 100, 20, seed=0)
    texts = first.take(range(100))
    return Texts([f"p{i}" for i in range(120)], texts + texts[:20])


@pytest.fixture(scope="session")
def queries() -> Texts:
    return random_texts("q", 25, 7, seed=1)


@pytest.fixture(scope="session")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """200 pairs in no order, some twice."""
    random = np.random.default_rng(2)
    return random.integers(0, 25, 200), random.integers(0, 120, 200)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")
