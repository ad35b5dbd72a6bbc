"""Hyperparameter tuning over training jobs."""
