"""Layers: tar to overlay folder and back, what a layer adds, changes and deletes."""
