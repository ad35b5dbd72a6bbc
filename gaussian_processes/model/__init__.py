"""The fitted model, its artifact and its description."""
