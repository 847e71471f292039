"""Widgets whose code, and whatever else is large, reaches a page once for all of them."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from functools import cache, cached_property

import anywidget
import traitlets

from vaewidgets._utils.private_apis import name_model

from .bundle import WIDGETS, bundle, bundle_all, default_modules, read_styles

#: Stylesheets that others build on.
_FIRST = ("_core/tokens.css", "_core/controls.css", "_core/panel.css")


class Asset:
    """Bytes that a page asks for by the hash of their content.

    Attributes
    ----------
    hash : str
    packed : bytes
        Compressed (zlib) when they are first asked for.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.hash = hashlib.sha256(content).hexdigest()[:32]

    @cached_property
    def packed(self) -> bytes:
        return zlib.compress(self._content, 6)


@cache
def runtime() -> Asset:
    """Join the modules and stylesheets of all widgets."""
    sheets = {path.relative_to(WIDGETS).as_posix() for path in WIDGETS.rglob("*.css")}
    sheets -= {*_FIRST, "explorer/html_page.css"}  # the exported page has its own
    style = json.dumps(read_styles(*_FIRST, *sorted(sheets)))
    modules = [name for name in default_modules() if name != "_core/loader.js"]
    return Asset(
        "document.head.append(Object.assign(document.createElement('style'), "
        f"{{ textContent: {style} }}));\n{bundle_all(modules, '_core/weights.js')}".encode()
    )


class PageModule(anywidget.AnyWidget):
    """A widget that a module of the page's runtime draws.

    Attributes
    ----------
    module : str
        Its path under ``widgets/``.
    runtime : str
        The hash of the runtime.
    page_id : str
        The widget's model id, by which its module finds the model.
    """

    # Without comments: every widget brings it.
    _esm = re.sub(r"^ *//.*\n", "", bundle("_core/loader.js"), flags=re.MULTILINE)
    _module = ""
    module = traitlets.Unicode().tag(sync=True)
    runtime = traitlets.Unicode().tag(sync=True)
    page_id = traitlets.Unicode().tag(sync=True)

    @traitlets.default("module")
    def _default_module(self) -> str:
        return self._module

    @traitlets.default("runtime")
    def _default_runtime(self) -> str:
        return runtime().hash

    def open(self) -> None:
        """Tell the page of the widget, and from now on answer what it asks for."""
        self.page_id = name_model(self)
        self.on_msg(self._give)
        super().open()

    def assets(self) -> list[Asset]:
        """List what the page may ask this widget for."""
        return [runtime()]

    def _give(self, _, content: dict, buffers) -> None:
        if content.get("type") != "vw_asset":
            return
        answer = {"type": "vw_asset", "hash": content.get("hash")}
        asset = next((asset for asset in self.assets() if asset.hash == answer["hash"]), None)
        if asset is None:
            self.send(answer)
        else:
            self.send({**answer, "size": len(asset.packed)})  # nobody else need ask
            self.send(answer, [asset.packed])
