"""Views: each folder holds a widget, its script and its style."""
