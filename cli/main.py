"""Entry point of the ``ngpc`` command."""


def main() -> None:
    """Run the command line."""
