"""``python -m cdlm.cli``, which launchers of several processes can start."""

from cdlm.cli import main

main()
