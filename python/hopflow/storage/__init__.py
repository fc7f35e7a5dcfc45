"""Arrays in files, and columns that are kept elsewhere than in memory."""

from hopflow.storage.disk_column import DiskColumn, DiskReport

__all__ = ["DiskColumn", "DiskReport"]
