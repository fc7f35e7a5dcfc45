"""Arrays in files, and columns that are kept elsewhere than in memory."""

from hopflow.storage.disk_column import DiskColumn, DiskReport
from hopflow.storage.encoded_column import EncodedColumn, encode

__all__ = ["DiskColumn", "DiskReport", "EncodedColumn", "encode"]
