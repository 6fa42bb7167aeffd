"""`%load_ext cutaway_jupyter`: the magics and views of Cutaway."""
