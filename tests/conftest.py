"""Hypothesis's profile, and the path of the oracles."""

import os
import sys
from pathlib import Path

from hypothesis import settings

# The oracles are imported by their name, whichever way pytest imports the tests.
sys.path.insert(0, str(Path(__file__).parent))
# A deadline is a timed test. In CI runs are derandomised: they fail for a change of the code alone.
settings.register_profile(
    "steady", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=50
)
settings.load_profile("steady")
