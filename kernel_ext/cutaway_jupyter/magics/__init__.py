"""`%container` and `%%dockerfile`."""
