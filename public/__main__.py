"""`python -m savs` is the `savs` command."""

from savs.pipeline.cli.main import main

if __name__ == "__main__":
    main()
