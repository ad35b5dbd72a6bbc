"""What is measured, each in a process of its own that imports nothing but what it needs."""
