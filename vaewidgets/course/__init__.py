"""The course: its notebooks, their exercises, and what a classroom needs."""
