"""Panels on one Gaussian: its KL, its noise, its bound and the weight of its KL."""
