"""What rooms that do not know each other agree on."""

#: Datasets that are known by name; any other source is a path or an array.
NAMED = ("digits", "mnist", "fashion-mnist")
