"""Eigenvalues and singular values: dense up to some size, by ARPACK above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from hopflow.ops import HopflowError
from hopflow.transforms._matrices import require_dense
from hopflow.transforms.export import require_library

Array = np.ndarray[Any, np.dtype[np.float64]]

MOST_DENSE = 1024
"""Nodes up to which a dense solver is quick; it alone finds every copy of a repeated eigenvalue."""


def smallest_eigenpairs(matrix: Any, count: int, what: str) -> tuple[Array, Array]:
    """The smallest eigenvalues of ``I - matrix``, rising, and their eigenvectors.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix
        Symmetric, shape [N, N].
    count : int
        How many, at most N.
    what : str
        Who asks, for messages.

    Returns
    -------
    values, vectors : numpy.ndarray
        float64, shapes [count] and [N, count].

    Raises
    ------
    HopflowError
        ARPACK gave up.
    """
    size = matrix.shape[0]
    if size <= MOST_DENSE or count >= size - 1:
        require_dense(what, size, size, dtype=torch.float64, copies=3)
        own, vectors = np.linalg.eigh(np.eye(size) - matrix.toarray())
        return own[:count], vectors[:, :count]
    # The largest of the matrix itself: ARPACK finds the ends of a spectrum.
    solver = require_library("scipy.sparse.linalg", "scipy", what)
    space = min(size, max(4 * count, 40))
    own, vectors = _solve(
        what,
        lambda: solver.eigsh(
            matrix, k=count, which="LA", v0=_start(size), ncv=space, maxiter=100 * size, tol=1e-9
        ),
    )
    order = np.argsort(-own, kind="stable")
    return 1.0 - own[order], vectors[:, order]


def largest_eigenvalue(matrix: Any, symmetric: bool, what: str) -> float:
    """The eigenvalue of ``I - matrix`` with the largest absolute value; its real part.

    Raises
    ------
    HopflowError
        ARPACK gave up.
    """
    size = matrix.shape[0]
    if size <= MOST_DENSE:
        dense = np.eye(size) - matrix.toarray()
        every = np.linalg.eigvalsh(dense) if symmetric else np.linalg.eigvals(dense)
        return float(every[np.argmax(np.abs(every))].real)
    solver = require_library("scipy.sparse.linalg", "scipy", what)
    if symmetric:  # no eigenvalue of such a Laplacian is below 0
        least = _solve(
            what,
            lambda: solver.eigsh(
                matrix, k=1, which="SA", v0=_start(size), return_eigenvectors=False, tol=1e-9
            ),
        )
        return float(1.0 - least[0])
    sparse = require_library("scipy.sparse", "scipy", what)
    laplacian = sparse.identity(size, format="csr") - matrix
    most = _solve(
        what,
        lambda: solver.eigs(
            laplacian, k=1, which="LM", v0=_start(size), return_eigenvectors=False, tol=1e-9
        ),
    )
    return float(most[0].real)


def top_singular(matrix: Any, count: int, what: str) -> tuple[Array, Array, Array]:
    """The largest singular values, falling, between their left and right vectors.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix
        Shape [N, N].
    count : int
        How many, at most N.
    what : str
        Who asks, for messages.

    Returns
    -------
    left, values, right : numpy.ndarray
        float64, shapes [N, count], [count] and [N, count].

    Raises
    ------
    HopflowError
        ARPACK gave up.
    """
    size = matrix.shape[0]
    if size <= MOST_DENSE or count >= size - 1:
        require_dense(what, size, size, dtype=torch.float64, copies=3)
        left, values, right = np.linalg.svd(matrix.toarray())
        return left[:, :count], values[:count], right[:count].T
    solver = require_library("scipy.sparse.linalg", "scipy", what)
    left, values, right = _solve(
        what, lambda: solver.svds(matrix, k=count, v0=_start(size), maxiter=100 * size)
    )
    order = np.argsort(-values, kind="stable")
    return left[:, order], values[order], right[order].T


def _start(size: int) -> Array:
    """The vector that ARPACK starts from: always the same, so that results are."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(size, dtype=torch.float64, generator=generator, device="cpu")
    return np.asarray(drawn.numpy(), dtype=np.float64)


def _solve(what: str, run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:  # scipy's error types are its own
        if type(error).__name__ not in ("ArpackNoConvergence", "ArpackError"):
            raise
        raise HopflowError(f"{what}: the eigenvalues were not found ({error})") from error
