"""The contract with SageMaker: environment and hyperparameters."""
