"""The command grammar and what serves it: one tree for the terminal, the magics and completion."""
