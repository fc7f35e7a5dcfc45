"""The command ``hopflow``: train, infer, partition, bench, doctor."""
