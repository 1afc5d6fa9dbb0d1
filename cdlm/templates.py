"""Finds the controller that reads templates, so that ``infill`` needs no import of concrete controllers."""

from collections.abc import Mapping
from typing import Any

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller


def template_wish(template: str, gaps: Mapping[str, Any] | None = None) -> Controller:
    """The registered ``infill`` controller for ``template``, whose named gaps hold what ``gaps`` asks for."""
    return make_controller("infill", template, **({"gaps": gaps} if gaps else {}))
