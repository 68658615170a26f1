"""Trees that are of two minds say so exactly, and then the first class is the answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

import strongroom


@pytest.mark.parametrize("classes", [2, 3])
def test_rows_with_a_tie_get_the_plain_model_s_label_from_an_encrypted_score(classes: int) -> None:
    rows = np.repeat([[0.0], [1.0]], 40, axis=0)
    labels = np.r_[np.arange(40) % 2, np.full(40, classes - 1)]
    model = DecisionTreeClassifier(max_depth=1).fit(rows, labels)
    first, second = np.sort(model.predict_proba(rows[:1])[0])[:-3:-1]
    assert first == second
    package = strongroom.protect(model, sample=rows)
    assert package.manifest.parity.agreement == 1.0
