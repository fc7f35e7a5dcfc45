"""The command ``hopflow``: train, infer, convert, partition, bench, doctor."""
