"""Hypothesis's profile, and the path of the oracles and of docs/."""

import os
import sys
from pathlib import Path

from hypothesis import settings

# The oracles are imported by their name, whichever way pytest imports the tests. The root is last:
# its package must not take the place of an installed one.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))
# A deadline is a timed test. In CI runs are derandomised: they fail for a change of the code alone.
settings.register_profile(
    "steady", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=50
)
settings.load_profile("steady")
