"""The command line: one small file a verb, which parses, calls the library and prints."""


def main() -> None:
    """Entry point of ``cdlm``."""
    from cdlm.cli.app import app

    app()
