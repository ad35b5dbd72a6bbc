"""Peers of `serve`."""
