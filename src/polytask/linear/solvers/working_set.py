"""Block coordinate descent on the Grams of a working set of features: what the path solvers have in common.

    F(B) = Σ_t ½ (y_tᵀy_t − 2 c_tᵀ b_t + b_tᵀ G_t b_t)  +  α Σ_j f_j ‖B_j‖₂  +  ½ρ Σ_j f_j ‖B_j‖₂²

over all B or, with `positive`, over B ≥ 0. The working set are the first `head` features; `grad[t] = c_t − G_t b_t`
is kept exact on them. Tables are (q, ·), so that every inner loop runs over the contiguous features of one task.

Moved features are queued and taken off the gradients eight at a time: the sequence of iterates is that of plain
cyclic descent, but the gradients, which fill the cache, are read and written an eighth as often.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Steps that an extrapolation combines.
MEMORY = 5
#: Moved features whose effect on the gradients is applied at once; `subtract_rows` spells them out.
QUEUE = 8
#: Reordering of sums and fused products; infinities and NaN keep their meaning.
FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True)
def descend(gram, pattern, xty, yty, grad, coef, factors, head, alpha, ridge, positive, target, max_iter):
    """Sweep over the working set until its own duality gap is at most target; the sweeps and the gap.

    Updates grad and coef (q, ·) in place. Stops as well when nothing moves any more.
    """
    found = gap(xty, yty, grad, coef, factors, head, head, alpha, ridge, positive)
    if found <= target or max_iter <= 0:
        return 0, found
    n_tasks = xty.shape[0]
    coefs, grads = np.empty((MEMORY + 1, n_tasks, head)), np.empty((MEMORY + 1, n_tasks, head))
    for sweep in range(max_iter):
        slot = sweep % (MEMORY + 1)
        copy(coef, coefs[slot], 0, head)
        copy(grad, grads[slot], 0, head)
        if slot == MEMORY:
            extrapolate(coefs, grads, xty, grad, coef, factors, head, alpha, ridge, positive)
        moved = _sweep(gram, pattern, grad, coef, factors, head, alpha, ridge, positive)
        found = gap(xty, yty, grad, coef, factors, head, head, alpha, ridge, positive)
        if found <= target or not moved:
            return sweep + 1, found
    return max_iter, found


@njit(cache=True, fastmath=FAST)
def _sweep(gram, pattern, grad, coef, factors, head, alpha, ridge, positive):
    """Minimise over each feature of the working set in turn; whether anything moved."""
    n_tasks = coef.shape[0]
    block, slope, hess = np.empty(n_tasks), np.empty(n_tasks), np.empty(n_tasks)
    queue, steps = np.zeros(QUEUE, np.int64), np.zeros((n_tasks, QUEUE))
    moved, queued = False, 0
    c0, c1, c2, c3, c4, c5, c6, c7, curvature = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(head):
        seen = -1
        for t in range(n_tasks):
            g = pattern[t]
            if g != seen:
                # Tasks that share a Gram follow each other more often than not.
                seen, curvature = g, gram[g, j, j]
                c0, c1, c2, c3 = (
                    gram[g, j, queue[0]],
                    gram[g, j, queue[1]],
                    gram[g, j, queue[2]],
                    gram[g, j, queue[3]],
                )
                c4, c5, c6, c7 = (
                    gram[g, j, queue[4]],
                    gram[g, j, queue[5]],
                    gram[g, j, queue[6]],
                    gram[g, j, queue[7]],
                )
            # Spelled out as in `subtract_rows`: what is not queued has no step.
            late = (
                (steps[t, 0] * c0 + steps[t, 1] * c1) + (steps[t, 2] * c2 + steps[t, 3] * c3)
                + ((steps[t, 4] * c4 + steps[t, 5] * c5) + (steps[t, 6] * c6 + steps[t, 7] * c7))
            )  # fmt: skip
            hess[t] = curvature + ridge * factors[j]
            slope[t] = grad[t, j] - late + curvature * coef[t, j]
            if positive:
                slope[t] = max(slope[t], 0.0)
        minimise_block(slope, hess, alpha * factors[j], block)
        changed = False
        for t in range(n_tasks):
            changed |= block[t] != coef[t, j]
        if changed:
            moved = True
            queue[queued] = j
            for t in range(n_tasks):
                steps[t, queued] = block[t] - coef[t, j]
                coef[t, j] = block[t]
            queued += 1
            if queued == QUEUE:
                subtract_rows(gram, pattern, grad, 0, head, queue, steps)
                queued = 0
                for t in range(n_tasks):
                    for m in range(QUEUE):
                        steps[t, m] = 0.0
    if queued > 0:
        subtract_rows(gram, pattern, grad, 0, head, queue, steps)
    return moved


@njit(cache=True, fastmath=FAST)
def subtract_rows(gram, pattern, grad, first, last, queue, steps):
    """grad[t, first:last] −= Σ_m steps[t, m] gram[pattern[t], queue[m], first:last], for eight m."""
    for t in range(grad.shape[0]):
        rows, out = gram[pattern[t]], grad[t]
        row0, row1, row2, row3 = rows[queue[0]], rows[queue[1]], rows[queue[2]], rows[queue[3]]
        row4, row5, row6, row7 = rows[queue[4]], rows[queue[5]], rows[queue[6]], rows[queue[7]]
        s0, s1, s2, s3 = steps[t, 0], steps[t, 1], steps[t, 2], steps[t, 3]
        s4, s5, s6, s7 = steps[t, 4], steps[t, 5], steps[t, 6], steps[t, 7]
        for k in range(first, last):
            out[k] -= (
                (s0 * row0[k] + s1 * row1[k]) + (s2 * row2[k] + s3 * row3[k])
                + ((s4 * row4[k] + s5 * row5[k]) + (s6 * row6[k] + s7 * row7[k]))
            )  # fmt: skip


@njit(cache=True)
def refresh(gram, pattern, xty, grad, coef, head, first):
    """grad[:, first:] = c − G b, where only the head of b is nonzero."""
    n_tasks, n_features = xty.shape
    queue, steps = np.zeros(QUEUE, np.int64), np.zeros((n_tasks, QUEUE))
    copy(xty, grad, first, n_features)
    queued = 0
    for j in range(head):
        used = False
        for t in range(n_tasks):
            steps[t, queued] = coef[t, j]
            used |= coef[t, j] != 0.0
        if used:
            queue[queued] = j
            queued += 1
            if queued == QUEUE:
                subtract_rows(gram, pattern, grad, first, n_features, queue, steps)
                queued = 0
    if queued > 0:
        for t in range(n_tasks):
            for m in range(queued, QUEUE):
                steps[t, m] = 0.0
        subtract_rows(gram, pattern, grad, first, n_features, queue, steps)


@njit(cache=True, fastmath=FAST)
def minimise_block(slope, hess, threshold, block):
    """block = argmin Σ_t ½ h_t b_t² − s_t b_t + threshold ‖b‖₂."""
    n_tasks, first = len(slope), hess[0]
    size, same = 0.0, True
    for t in range(n_tasks):
        size += slope[t] * slope[t]
        same &= hess[t] == first
    size = np.sqrt(size)
    if size <= threshold or (same and first == 0.0):
        for t in range(n_tasks):
            block[t] = 0.0
    elif same:
        shrunk = (size - threshold) / (first * size)
        for t in range(n_tasks):
            block[t] = slope[t] * shrunk
    else:
        _minimise_uneven(slope, hess, threshold, size, block)


@njit(cache=True, fastmath=FAST)
def _minimise_uneven(slope, hess, threshold, size, block):
    """The same for ‖s‖ = size > threshold and curvatures that differ, by way of the norm ν of the block.

    b_t = s_t ν / (h_t ν + threshold), where ν solves 1/‖s/(hν + threshold)‖ = 1. The left side is concave and
    nearly linear in ν, so Newton from a lower bound climbs to the root without overshooting.
    """
    n_tasks, largest = len(slope), 0.0
    for t in range(n_tasks):
        largest = max(largest, hess[t])
    norm = (size - threshold) / largest
    for _ in range(50):
        square, curve = 0.0, 0.0
        for t in range(n_tasks):
            inverse = 1.0 / (hess[t] * norm + threshold)
            ratio = slope[t] * inverse
            square += ratio * ratio
            curve += ratio * ratio * hess[t] * inverse
        increment = (np.sqrt(square) - 1.0) * square / curve
        norm += increment
        if increment <= 1e-15 * norm:
            break
    for t in range(n_tasks):
        block[t] = slope[t] * norm / (hess[t] * norm + threshold)


@njit(cache=True, fastmath=FAST)
def extrapolate(coefs, grads, xty, grad, coef, factors, head, alpha, ridge, positive):
    """Anderson acceleration (Bertrand & Massias 2021): the affine combination of past iterates whose combined
    step is smallest, taken when it lowers the objective; whether it was. Gradients are affine in B, so they
    combine alike."""
    mix = _smallest_step(coefs)
    # Slot 0 belongs to no step's end, so it can hold the result.
    for table in (coefs, grads):
        for t in range(coef.shape[0]):
            for i in range(head):
                value = 0.0
                for a in range(MEMORY):
                    value += mix[a] * table[a + 1, t, i]
                table[0, t, i] = value
    better = _is_better(xty, grads[0], coefs[0], grad, coef, factors, head, alpha, ridge, positive)
    if better:
        copy(coefs[0], coef, 0, head)
        copy(grads[0], grad, 0, head)
    return better


@njit(cache=True)
def copy(source, target, first, last):
    """target[:, first:last] = source[:, first:last]; loops compile ten times faster than numba's slices."""
    for t in range(target.shape[0]):
        for i in range(first, last):
            target[t, i] = source[t, i]


@njit(cache=True)
def step_along(xty, grad, coef, last_grad, last_coef, factors, head, alpha, ridge, positive, share):
    """Go on from the last two solutions by a share of their difference, if that lowers the objective.

    Solutions are nearly linear in the penalty, and gradients are affine in the solution. `last_coef` and
    `last_grad` become what coef and grad were before, on all features.
    """
    for t in range(coef.shape[0]):
        for i in range(head):
            now, before = coef[t, i], last_coef[t, i]
            coef[t, i], last_coef[t, i] = now + share * (now - before), now
        for j in range(head):
            slope, previous = grad[t, j], last_grad[t, j]
            grad[t, j], last_grad[t, j] = slope + share * (slope - previous), slope
        for j in range(head, grad.shape[1]):
            last_grad[t, j] = grad[t, j]
    if share != 0.0 and not _is_better(
        xty, grad, coef, last_grad, last_coef, factors, head, alpha, ridge, positive
    ):
        copy(last_coef, coef, 0, head)
        copy(last_grad, grad, 0, head)


@njit(cache=True)
def _is_better(xty, grad, coef, other_grad, other_coef, factors, head, alpha, ridge, positive):
    """Whether coef, if feasible, has a lower objective than other_coef."""
    if positive:
        for t in range(coef.shape[0]):
            for i in range(head):
                if coef[t, i] < 0.0:
                    return False
    return objective(xty, grad, coef, factors, head, alpha, ridge) < objective(
        xty, other_grad, other_coef, factors, head, alpha, ridge
    )


@njit(cache=True, fastmath=FAST)
def _smallest_step(coefs):
    """Weights w, summing to one, of the steps d_a between iterates that minimise ‖Σ w_a d_a‖."""
    products = np.zeros((MEMORY, MEMORY))
    trace = 0.0
    for a in range(MEMORY):
        for b in range(a + 1):
            total = 0.0
            for t in range(coefs.shape[1]):
                for i in range(coefs.shape[2]):
                    step = coefs[a + 1, t, i] - coefs[a, t, i]
                    total += step * (coefs[b + 1, t, i] - coefs[b, t, i])
            products[a, b] = total
            products[b, a] = total
        trace += products[a, a]
    weights = np.ones(MEMORY)
    for a in range(MEMORY):
        products[a, a] += 1e-10 * trace + 1e-300
    # Elimination without pivots is safe: the matrix is positive definite.
    for a in range(MEMORY):
        for b in range(a + 1, MEMORY):
            ratio = products[b, a] / products[a, a]
            weights[b] -= ratio * weights[a]
            for c in range(a, MEMORY):
                products[b, c] -= ratio * products[a, c]
    total = 0.0
    for a in range(MEMORY - 1, -1, -1):
        for c in range(a + 1, MEMORY):
            weights[a] -= products[a, c] * weights[c]
        weights[a] /= products[a, a]
        total += weights[a]
    for a in range(MEMORY):
        weights[a] /= total
    return weights


@njit(cache=True, fastmath=FAST)
def objective(xty, grad, coef, factors, head, alpha, ridge):
    """The objective less its constant ½ Σ y_tᵀy_t."""
    value, norms = 0.0, np.zeros(head)
    for t in range(coef.shape[0]):
        for i in range(head):
            value -= (xty[t, i] + grad[t, i]) * coef[t, i]
            norms[i] += coef[t, i] * coef[t, i]
    value /= 2
    for i in range(head):
        value += factors[i] * (alpha * np.sqrt(norms[i]) + ridge / 2 * norms[i])
    return value


@njit(cache=True, fastmath=FAST)
def gap(xty, yty, grad, coef, factors, head, last, alpha, ridge, positive):
    """Duality gap; the dual point is the residual, scaled to be feasible over the features below `last`.

    The ridge term counts as rows of data √(ρ f_j) with target 0, so the residual includes −√(ρ f_j) B_j.
    """
    fit, rest = 0.0, 0.0
    norms, slopes = np.zeros(head), np.zeros(last)
    for t in range(xty.shape[0]):
        for i in range(head):
            norms[i] += coef[t, i] * coef[t, i]
            fit += xty[t, i] * coef[t, i]
            slope = grad[t, i] - ridge * factors[i] * coef[t, i]
            rest += slope * coef[t, i]
            slope = max(slope, 0.0) if positive else slope
            slopes[i] += slope * slope
        for i in range(head, last):
            slope = max(grad[t, i], 0.0) if positive else grad[t, i]
            slopes[i] += slope * slope
    penalty, worst = 0.0, 0.0
    for i in range(head):
        penalty += factors[i] * np.sqrt(norms[i])
    for j in range(last):
        worst = max(worst, slopes[j] / (factors[j] * factors[j]))
    return gap_of(max(yty - fit - rest, 0.0), yty - fit, penalty, np.sqrt(worst), alpha, positive)


@njit(cache=True)
def gap_of(residual, explained, penalty, worst, alpha, positive):
    """From ‖r‖², yᵀr, Σ f_j ‖B_j‖ and the largest ‖(Xᵀr)_j‖ / f_j, r the residual."""
    scale = alpha / worst if worst > 0.0 else 1.0
    if residual > 0.0:
        # A feasible point's negative is feasible only without the constraint of signs.
        scale = min(max(explained / residual, 0.0 if positive else -scale), scale)
    primal = residual / 2 + alpha * penalty
    return primal - scale * explained + scale * scale * residual / 2
