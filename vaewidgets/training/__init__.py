"""The loop that trains, one step at a time."""
