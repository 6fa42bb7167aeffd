"""`%container`, `%%container` and `%%dockerfile`: the command tree of the terminal, in a cell."""
