"""Data: files to tables, tables to arrays, columns to features."""
