"""The namespaces view: widget, picture, and their client code."""
