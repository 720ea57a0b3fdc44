"""`python -m raystead`, for whom pip's scripts are not in the PATH."""

from raystead.cli.main import main

main()
