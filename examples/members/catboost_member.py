"""CatBoost as a member of the ensemble, beside Gaussian processes."""

from catboost import CatBoostRegressor

MODEL_FILE = "trees.cbm"


class CatBoost:
    """CatBoost's defaults, which predict no variances: that of out-of-fold residuals counts."""

    def __init__(self):
        # One thread, as several jobs may share the cores; no folder of logs beside the program.
        self.trees = CatBoostRegressor(
            thread_count=1, random_seed=0, verbose=False, allow_writing_files=False
        )

    def fit(self, x, y, sample_weight):
        """Fit to standardised rows of shape (n, d), targets and weights of shape (n,)."""
        self.trees.fit(x, y, sample_weight=sample_weight)

    def predict(self, x):
        """Predict the means of m rows; a pair of means and variances would do as well."""
        return self.trees.predict(x, thread_count=1)

    def save(self, folder):
        """Write files into an empty folder of the artifact."""
        self.trees.save_model(folder / MODEL_FILE)

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        member = cls()
        member.trees.load_model(folder / MODEL_FILE)
        return member
