"""The program `serve`."""
