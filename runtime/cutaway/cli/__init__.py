"""The command grammar and what serves it: one tree of commands for the terminal, the magics and completion."""
