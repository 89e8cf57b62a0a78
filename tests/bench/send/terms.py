"""What all parts are told: where the databases are, how often, how much."""

import sys
from dataclasses import dataclass

from tests.bench.stage import Server
from tests.outside import ROOT

THREADS = 16
SETTINGS = {"SMS_CONCURRENCY": str(THREADS), "SMS_CONCURRENCY_MAX": str(THREADS)}
"""As many threads as the references have."""
PEERS = ROOT / ".venv-bench" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
"""Where other HTTP clients are installed."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one run. A share of less than 1 makes everything smaller, for a quick look."""

    server: Server
    rounds: int = 5
    share: float = 1

    def of(self, count: int) -> int:
        """Return how many, of so many in a whole run."""
        return max(200, round(count * self.share))
