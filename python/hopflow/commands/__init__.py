"""The command ``hopflow``: train, infer, bench, doctor."""
