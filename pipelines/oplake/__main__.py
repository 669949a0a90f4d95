"""`python -m oplake` does what `oplake` does."""

from oplake.cli import main

if __name__ == "__main__":
    main()
