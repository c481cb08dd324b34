from __future__ import annotations

import numpy as np

from polytask.balancing.gradients.spectrum import equal_projections, norms_and_correlations, spectrum

from .jacobians import random_jacobian


def test_nonzero_spectrum_rebuilds_the_gramian() -> None:
    jacobian = random_jacobian(5, 3, 0)
    values, vectors = spectrum(jacobian @ jacobian.T)
    np.testing.assert_allclose(values[::-1], np.linalg.svd(jacobian)[1] ** 2, rtol=1e-9)
    np.testing.assert_allclose(vectors * values @ vectors.T, jacobian @ jacobian.T, atol=1e-10)


def test_rank_is_that_of_the_cosines() -> None:
    gradient = np.array([1.0, 2.0, 0.5])
    duplicates = np.array([gradient, gradient * (1 + 1e-7), [1e-5, 0.0, 0.0]])
    assert len(spectrum(duplicates @ duplicates.T)[0]) == 2


def test_norms_and_correlations() -> None:
    norms, correlations = norms_and_correlations(np.array([[4.0, -3.0], [-3.0, 9.0]]))
    np.testing.assert_allclose(norms, [2, 3])
    np.testing.assert_allclose(correlations, [[1, -0.5], [-0.5, 1]])


def test_equal_projections() -> None:
    correlations = norms_and_correlations(np.cov(random_jacobian(4, 30, 1)))[1]
    np.testing.assert_allclose(correlations @ equal_projections(correlations), np.ones(4), rtol=1e-9)
    np.testing.assert_allclose(equal_projections(np.array([[1.0, -1.0], [-1.0, 1.0]])), [0, 0], atol=1e-12)
