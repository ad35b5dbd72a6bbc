"""Compiled routines in C99 and how they are called."""
