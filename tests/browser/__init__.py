"""Tests that drive the notebooks in a real JupyterLab with a real Chromium.

This directory is a package on purpose: its package-scoped fixtures stop playwright's event loop as
soon as the last browser test is done (see ``conftest.py``).
"""
