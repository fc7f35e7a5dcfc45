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
"""Nodes up to which a dense solver is quick."""


def smallest_eigenpairs(matrix: Any, count: int, known: Array, what: str) -> tuple[Array, Array]:
    """The smallest eigenvalues of ``I - matrix``, rising, and their eigenvectors.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix
        Symmetric, shape [N, N], with eigenvalues from -1 to 1.
    count : int
        How many, at most N.
    known : numpy.ndarray
        Eigenvectors of ``matrix`` with eigenvalue 1, orthonormal, shape [N, any].
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
    own, vectors = _largest(matrix.dot, size, count, known, what)
    return 1.0 - own, vectors


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
    # Right vectors are eigenvectors of the matrix times its transpose; left ones follow from them.
    squares, right = _largest(
        lambda x: matrix.T @ (matrix @ x), size, count, np.zeros((size, 0)), what
    )
    values = np.sqrt(np.maximum(squares, 0))
    values[values < 1e-7 * values[0]] = 0  # roundings of squares
    left = matrix @ right / np.where(values > 0, values, np.inf)
    return left, values, right


def _largest(
    multiply: Callable[[Array], Array], size: int, count: int, known: Array, what: str
) -> tuple[Array, Array]:
    """The largest eigenvalues of a symmetric operator, falling, and their eigenvectors.

    Lanczos from one vector sees one copy of an eigenvalue that is there several times, as those of
    symmetric graphs are. So what is found is moved to the bottom of the spectrum, and the search
    goes on until nothing is left above what it has.

    Parameters
    ----------
    multiply : callable
        Of a vector, shape [size].
    size, count : int
        Rows of the operator, and how many eigenvalues.
    known : numpy.ndarray
        Eigenvectors of the largest eigenvalue, which is 1, shape [size, any]; all that are there.
    what : str
        Who asks, for messages.
    """
    solver = require_library("scipy.sparse.linalg", "scipy", what)
    values, vectors = np.ones(known.shape[1]), known
    searches = 0

    def search(wanted: int, tolerance: float) -> tuple[Array, Array]:
        nonlocal searches
        searches += 1  # another vector to start from, or it would see no other copy
        down = values + 2 * max(1.0, float(np.abs(values).max(initial=0)))
        operator = solver.LinearOperator(
            (size, size), dtype=np.float64,
            matvec=lambda x: multiply(x.ravel()) - vectors @ (down * (vectors.T @ x.ravel())),
        )  # fmt: skip
        space = min(size, max(4 * wanted, 40))
        found: tuple[Array, Array] = _solve(
            what,
            lambda: solver.eigsh(
                operator, k=wanted, which="LA", v0=_start(size, searches), ncv=space, tol=tolerance,
                maxiter=100 * size,
            ),
        )  # fmt: skip
        return found

    missing = max(0, count - known.shape[1])
    while missing:
        own, more = search(missing, 1e-8)
        values, vectors = np.concatenate([values, own]), np.hstack([vectors, more])
        order = np.argsort(-values, kind="stable")
        values, vectors = values[order], vectors[:, order]
        # The error of an eigenvalue is the square of the vector's.
        above, _ = search(1, 1e-4)
        if above[0] <= values[count - 1] + 1e-7 * max(1.0, abs(values[0])):
            break
    return values[:count], vectors[:, :count]


def _start(size: int, number: int = 0) -> Array:
    """A vector that ARPACK starts from: always the same, so that results are."""
    generator = torch.Generator().manual_seed(number)
    drawn = torch.randn(size, dtype=torch.float64, generator=generator, device="cpu")
    return np.asarray(drawn.numpy(), dtype=np.float64)


def _solve(what: str, run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:  # scipy's error types are its own
        if type(error).__name__ not in ("ArpackNoConvergence", "ArpackError"):
            raise
        raise HopflowError(f"{what}: the eigenvalues were not found ({error})") from error
