"""Cutaway: a container engine with its side cut away. Importing it does no work."""

__version__ = "0.1.0"
