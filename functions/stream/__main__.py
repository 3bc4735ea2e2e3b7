"""Start the server: ``python -m functions.stream``."""

from functions.stream.app import main

main()
