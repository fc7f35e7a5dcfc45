"""``python -m hopflow``: the command ``hopflow`` of this interpreter."""

from hopflow.cli import main

if __name__ == "__main__":
    main()
