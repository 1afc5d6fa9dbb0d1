"""The router: pages, the model picker that stands on each of them, and the model's loading."""

import importlib.util
import sys
from pathlib import Path


def _name_this_folder() -> None:
    """Make ``app`` mean this folder, wherever it lies (a wheel keeps it inside ``cdlm``) and whatever else is called so."""
    here = Path(__file__).resolve().parent
    if getattr(sys.modules.get("app"), "__path__", None) == [str(here)]:
        return
    spec = importlib.util.spec_from_file_location("app", here / "__init__.py", submodule_search_locations=[str(here)])
    assert spec is not None
    sys.modules["app"] = importlib.util.module_from_spec(spec)


_name_this_folder()

import streamlit as st  # noqa: E402 - comes after the name that the views are found by

from app.parts.picker import show_picker  # noqa: E402
from app.views import batch, compare, edit, generate, infill, model  # noqa: E402

PAGES = [
    st.Page(generate.show, title="Generate", icon=":material/edit_note:", url_path="generate", default=True),
    st.Page(infill.show, title="Infill", icon=":material/space_bar:", url_path="infill"),
    st.Page(edit.show, title="Edit", icon=":material/ink_pen:", url_path="edit"),
    st.Page(compare.show, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
    st.Page(batch.show, title="Batch", icon=":material/table_rows:", url_path="batch"),
    st.Page(model.show, title="Model", icon=":material/deployed_code:", url_path="model"),
]

st.set_page_config(page_title="cdlm", page_icon=":material/edit_note:", layout="wide")
page = st.navigation(PAGES)
show_picker()
page.run()
