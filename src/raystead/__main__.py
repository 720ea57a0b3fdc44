"""`python -m raystead`, for those whose PATH lacks pip's scripts."""

from raystead.cli.main import main

main()
