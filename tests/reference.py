"""Every formula again as plain loops over Python floats (float64), written from its definition.

Imports nothing of st_mta and no tensor library: arguments are lists, a mask is a list of booleans, and a masked
candidate has probability 0 and no rank (None).
"""

from __future__ import annotations

import math

# --- distributions -----------------------------------------------------------------------------------------------


def softmax(scores, mask):
    valid = [score for score, inside in zip(scores, mask) if inside]
    if not valid:
        return [0.0] * len(scores)
    total = sum(math.exp(score - max(valid)) for score in valid)
    return [math.exp(score - max(valid)) / total if inside else 0.0 for score, inside in zip(scores, mask)]


def kl(p, q):
    """KL(p || q) in nats; candidates without mass in p count nothing."""
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q) if a > 0)


def entropy(p):
    return -sum(a * math.log(a) for a in p if a > 0)


def mean_normalised_entropy(rows, masks, temperature):
    """Mean over queries of H / log(n); queries with fewer than two valid or only equal scores do not count."""
    shares = []
    for row, mask in zip(rows, masks):
        valid = [score for score, inside in zip(row, mask) if inside]
        if len(set(valid)) < 2:
            continue
        shares.append(entropy(softmax([score / temperature for score in row], mask)) / math.log(len(valid)))
    return sum(shares) / len(shares)


# --- fusion ------------------------------------------------------------------------------------------------------


def fuse_mean(scores, members, mask):
    """``scores`` of all assistants (A lists of N), ``members`` the indices of those fused -> N probabilities."""
    distributions = [softmax(scores[member], mask) for member in members]
    return [sum(column) / len(members) for column in zip(*distributions)]


def average_ranks(scores, mask):
    """1 for the best; tied candidates share the mean of the places they take."""
    valid = [score for score, inside in zip(scores, mask) if inside]
    ranks = []
    for score, inside in zip(scores, mask):
        better = sum(other > score for other in valid)
        equal = sum(other == score for other in valid)
        ranks.append(sum(range(better + 1, better + equal + 1)) / equal if inside else None)
    return ranks


def fuse_rrf(scores, members, mask, k=60, spread=2.0):
    if len(members) == 1:
        return softmax(scores[members[0]], mask)
    ranks = [average_ranks(scores[member], mask) for member in members]
    sums = [sum(1 / (k + r) for r in column) if None not in column else None for column in zip(*ranks)]
    valid = [value for value in sums if value is not None]
    if not valid:
        return [0.0] * len(mask)
    mean = sum(valid) / len(valid)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in valid) / len(valid))
    if deviation < 1e-12:
        return softmax([0.0] * len(mask), mask)
    return softmax([0.0 if value is None else spread * (value - mean) / deviation for value in sums], mask)


# --- selection ---------------------------------------------------------------------------------------------------


def ranking(p, mask):
    """Valid candidates from best to worst; ties keep candidate order."""
    return sorted((i for i, inside in enumerate(mask) if inside), key=lambda i: (-p[i], i))


def footrule(p_teacher, p_assistant, mask):
    teacher, assistant = ranking(p_teacher, mask), ranking(p_assistant, mask)
    if len(teacher) < 2:
        return 0.0
    moved = sum(abs(teacher.index(i) - assistant.index(i)) for i in teacher)
    farthest = sum(abs(place - (len(teacher) - 1 - place)) for place in range(len(teacher)))
    return moved / farthest


def rank_biased_distance(p_teacher, p_assistant, mask, p=0.9):
    teacher, assistant = ranking(p_teacher, mask), ranking(p_assistant, mask)
    if not teacher:
        return 0.0
    overlap = weight = 0.0
    for depth in range(1, len(teacher) + 1):
        common = len(set(teacher[:depth]) & set(assistant[:depth]))
        overlap += p ** (depth - 1) * common / depth
        weight += p ** (depth - 1)
    return 1 - overlap / weight


# --- the loss ----------------------------------------------------------------------------------------------------


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def cosine(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def info_nce(logits, positive, negative):
    """Mean over the positives of -log of their share against the negatives and themselves."""
    positives = [s for s, inside in zip(logits, positive) if inside]
    negatives = [s for s, inside in zip(logits, negative) if inside]
    if not positives:
        return 0.0
    shares = [math.exp(s) / (math.exp(s) + sum(math.exp(n) for n in negatives)) for s in positives]
    return sum(-math.log(share) for share in shares) / len(shares)


def listwise_kl_loss(
    queries, documents, scores, index, positive, *, similarity=cosine, scale, temperature, alpha, contrastive_weight
):
    """The whole loss for the flat form: ``scores`` (B, S, N), ``index`` (B, N) with -1, ``positive`` (B, N)."""
    masks = [
        [i >= 0 and all(math.isfinite(scorer[n]) for scorer in of_query) for n, i in enumerate(row)]
        for of_query, row in zip(scores, index)
    ]
    pool = {i for row, mask in zip(index, masks) for i, inside in zip(row, mask) if inside}
    divergences, contrasts = [], []
    for query, of_query, row, mask, relevant in zip(queries, scores, index, masks, positive):
        if sum(mask) < 2:
            continue
        logits = [scale * similarity(query, document) for document in documents]
        student = softmax([logits[i] if inside else 0.0 for i, inside in zip(row, mask)], mask)
        targets = [softmax([score / temperature for score in scorer], mask) for scorer in of_query]
        teacher, *others = [kl(target, student) for target in targets]
        divergences.append(alpha * teacher + (1 - alpha) * sum(others) / len(others) if others else teacher)
        positives = {i for i, inside, yes in zip(row, mask, relevant) if inside and yes}
        filtered = {i for i, inside in zip(row, mask) if not inside}
        negatives = pool - positives - filtered
        if positives:
            every = range(len(documents))
            contrasts.append(info_nce(logits, [i in positives for i in every], [i in negatives for i in every]))
    divergence = sum(divergences) / len(divergences) if divergences else 0.0
    contrast = sum(contrasts) / len(contrasts) if contrasts else 0.0
    return divergence + contrastive_weight * contrast
