"""Finds the controller that reads templates, so that ``infill`` needs no import of concrete controllers."""

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller


def template_wish(template: str) -> Controller:
    """The registered ``infill`` controller for ``template``."""
    return make_controller("infill", template)
