"""The command grammar, and the terminal that speaks it."""
