"""Message passing: from built-in and Python functions to the kernels of :mod:`hopflow.ops`."""
