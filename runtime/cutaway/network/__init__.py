"""Bridge, addresses, translation and published ports."""
