"""The map of codes that several panels show."""
