"""Grids in LPS mm: what they are, where a NIfTI affine puts one, moving images between them."""
