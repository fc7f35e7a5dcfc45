"""Arrays in files, and columns that are kept elsewhere than in memory or in fewer bits."""
