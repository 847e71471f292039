"""Signatures by which JupyterLab trusts the notebooks as they ship, and no others.

JupyterLab shows a widget of a stored output only if this user has signed the notebook. It signs a notebook
again at each save. Without a signature a page that is loaded again shows its panels as text only, although
the kernel still runs. A signature belongs to a content, wherever its file is. So the contents that ship are
signed: their unchanged copies are trusted in every folder, and notebooks that somebody has changed or added
are not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import closing, suppress
from pathlib import Path

#: One line for each notebook that ships, as ``sha256sum`` prints it; `tests/refresh_notebooks.py` writes it.
#: In a checkout people work in the folder that ships, so its notebooks may have been changed.
DIGESTS = Path(__file__).with_name("notebooks.sha256")


def digest(text: str) -> str:
    """Compute the SHA-256 of a notebook's content, whatever the spaces and line ends of its file.

    Raises
    ------
    ValueError, RecursionError
        It is not JSON, or nested too deep.

    Examples
    --------
    >>> digest('{"cells": []}') == digest('{"cells":[]}')
    True
    """
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def unchanged(source: Path) -> dict[str, str]:
    """Return the texts of the notebooks below `source` that are as they shipped, by name; outputs count."""
    found = {}
    for line in DIGESTS.read_text(encoding="ascii").splitlines():
        expected, name = line.split("  ", 1)
        with suppress(OSError, ValueError, RecursionError):  # not there, or no notebook any more
            text = (source / name).read_text(encoding="utf-8")
            if digest(text) == expected:
                found[name] = text
    return found


def sign(source: str | os.PathLike[str]) -> list[str]:
    """Sign the notebooks below `source` that are as they shipped, for the user who runs this.

    Parameters
    ----------
    source : path
        A folder.

    Returns
    -------
    list of str
        Their names. The others stay trusted, or not trusted, as they were.

    Raises
    ------
    OSError
        The signatures cannot be stored. The message says where, and what that means for the user.
    """
    ours = unchanged(Path(source))
    if ours:
        try:
            _sign(ours.values())
        except Exception as error:  # a locked database, a secret that may not be read, a bad setting
            raise OSError(
                f"the notebooks could not be signed as trusted: {error}. They work, but a page that is loaded"
                " again shows their panels as text until their cells are run again. Make Jupyter's data"
                " folder writable (jupyter --data-dir says where it is), then run this command again."
            ) from error
    return list(ours)


def _sign(texts) -> None:
    # Imported here, because nbformat takes longer to import than a copy takes.
    import nbformat
    from jupyter_core.application import JupyterApp
    from nbformat.sign import NotebookNotary

    # The server's settings: some move the database away from a network drive.
    settings = JupyterApp(config_file_name="jupyter_server_config", log_level=logging.ERROR)
    settings.initialize(argv=[])
    notary = NotebookNotary(parent=settings, data_dir=settings.data_dir)
    with closing(notary.store):
        if getattr(notary.store, "db_file", None) != notary.db_file:
            raise OSError(f"{notary.db_file} cannot be opened")  # signatures would be lost with this process
        for text in texts:
            # Read as the server does, because that is the content that it looks up.
            notary.sign(nbformat.reads(text, as_version=4))
