"""Finds the controller that reads templates, so that ``infill`` needs no import of concrete controllers."""

from cdlm.control.controller import Controller
from cdlm.control.registry import find_controller


def template_wish(template: str) -> Controller:
    """The registered ``infill`` controller for ``template``."""
    return find_controller("infill")(template)  # type: ignore[call-arg]
