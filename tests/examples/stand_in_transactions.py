"""Card transactions made up for tests, in the columns of the real ones: nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas

ROWS = 2000


def write_transactions(path: Path) -> None:
    """In time order; large amounts on one kind of card are often fraud. Amounts have so many digits
    that none occurs anywhere by chance."""
    random = np.random.default_rng(5)
    amount = random.lognormal(4.0, 1.0, ROWS)
    card = random.choice(["debit", "credit", "prepaid"], ROWS, p=[0.6, 0.3, 0.1])
    distance = np.where(random.random(ROWS) < 0.3, np.nan, random.exponential(100.0, ROWS))
    risk = 0.02 + 0.6 * ((amount > 80.0) & (card != "debit"))
    table = pandas.DataFrame(
        {
            "TransactionID": np.arange(ROWS) + 2_987_000,
            "isFraud": (random.random(ROWS) < risk).astype(int),
            "TransactionDT": 86_400 + np.cumsum(random.integers(1, 600, ROWS)),
            "TransactionAmt": amount,
            "card": card,
            "distance": distance,
        }
    )
    table.to_csv(path, index=False)
