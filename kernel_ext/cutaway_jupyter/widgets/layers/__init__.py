"""The layers view: widget, picture, and their client code."""
