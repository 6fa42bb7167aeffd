"""Base images without a registry."""
