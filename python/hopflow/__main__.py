"""``python -m hopflow``: the command ``hopflow`` of this interpreter."""

from hopflow.commands.app import main

if __name__ == "__main__":
    main()
