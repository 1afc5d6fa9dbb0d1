"""The two components with a script of their own. Both are handed data and set it as textContent, never as HTML."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from cdlm.service.difference import Segment

if TYPE_CHECKING:
    from cdlm.control.controller import Verdict
    from cdlm.service.replay import Trajectory

_HERE = Path(__file__).parent


def show_card(segments: Sequence[Segment], verdicts: "Sequence[Verdict]", key: str, rank: int | None = None) -> None:
    """A text with its wishes below, each with a tick or a cross and why, and a button that copies the text.

    Args:
        rank: its place among the texts, 1 for the best; None where they are not ranked.
    """
    component = st.components.v2.component(
        "cdlm_card",
        css=(_HERE / "card.css").read_text(encoding="utf-8"),
        js=(_HERE / "card.js").read_text(encoding="utf-8"),
    )
    data = {
        "segments": [{"text": s.text, "kind": s.kind} for s in segments],
        "rank": rank,
        "verdicts": [{"name": v.name, "held": v.satisfied, "detail": v.detail} for v in verdicts],
    }
    component(key=key, data=data)


def show_player(trajectory: "Trajectory", key: str) -> None:
    """The trajectory of a text, played in the browser."""
    from cdlm.service.replay import player_script, player_style

    script = f"""{player_script()}
const mounted = new WeakMap();
export default function ({{ data, parentElement }}) {{
  const known = mounted.get(parentElement);
  if (known && known.text === data.replay) return;
  if (known) known.player.destroy();
  const root = known ? known.root : parentElement.appendChild(document.createElement("div"));
  mounted.set(parentElement, {{ root, text: data.replay, player: mount(root, JSON.parse(data.replay)) }});
}}
"""
    component = st.components.v2.component("cdlm_player", css=player_style(), js=script)
    component(key=key, data={"replay": trajectory.json()})
