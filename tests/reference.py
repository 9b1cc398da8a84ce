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


# --- calibration -------------------------------------------------------------------------------------------------


def temperature(rows, masks, target):
    """By bisection of the logarithm: the entropy grows with the temperature."""
    low, high = -25.0, 25.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if mean_normalised_entropy(rows, masks, math.exp(middle)) < target else (low, middle)
        )
    return math.exp((low + high) / 2)


def standardise(row, mask):
    """Zero mean and unit population deviation over the valid; 0 for masked ones and where all are equal."""
    valid = [score for score, inside in zip(row, mask) if inside]
    if len(set(valid)) < 2:
        return [0.0] * len(row)
    mean = sum(valid) / len(valid)
    deviation = math.sqrt(sum((score - mean) ** 2 for score in valid) / len(valid))
    return [(score - mean) / deviation if inside else 0.0 for score, inside in zip(row, mask)]


def zscore_temperature(rows, masks, target):
    return temperature([standardise(row, mask) for row, mask in zip(rows, masks)], masks, target)


def affine_temperature(rows, teacher_logits, masks):
    """1 / a of the least squares of teacher = a * score + b_q, an own intercept for every query."""
    covariance = variance = 0.0
    for row, logits, mask in zip(rows, teacher_logits, masks):
        pairs = [(x, y) for x, y, inside in zip(row, logits, mask) if inside]
        if not pairs:
            continue
        mean_x, mean_y = (sum(values) / len(pairs) for values in zip(*pairs))
        covariance += sum((x - mean_x) * (y - mean_y) for x, y in pairs)
        variance += sum((x - mean_x) ** 2 for x, _ in pairs)
    return variance / covariance


# --- weights -----------------------------------------------------------------------------------------------------


def judged(positives, masks):
    """The queries with a valid positive and a valid negative."""
    kinds = [{yes for yes, inside in zip(*row) if inside} for row in zip(positives, masks)]
    return [query for query, kind in enumerate(kinds) if kind == {True, False}]


def mass_on(p, positive, mask):
    return sum(share for share, yes, inside in zip(p, positive, mask) if yes and inside)


def mixture_weights(distributions, positives, masks, steps=20_000):
    """Expectation maximisation from the uniform weights: its fixed point is the maximum.

    ``distributions`` holds A lists of N probabilities for each of Q queries.
    """
    queries = judged(positives, masks)
    shares = [[mass_on(p, positives[q], masks[q]) for p in distributions[q]] for q in queries]
    weights = [1 / len(shares[0])] * len(shares[0])
    for _ in range(steps):
        totals = [dot(weights, row) for row in shares]
        weights = [
            weight * sum(row[a] / total for row, total in zip(shares, totals)) / len(shares)
            for a, weight in enumerate(weights)
        ]
    return weights


def log_linear_objective(weights, scores, positives, masks, l2):
    """Mean log mass on the positives of the softmax of the weighted sum of ``scores`` (Q, S, N), less the penalty."""
    queries = judged(positives, masks)
    pooled = [[dot(weights, column) for column in zip(*scores[q])] for q in queries]
    mass = [mass_on(softmax(row, masks[q]), positives[q], masks[q]) for row, q in zip(pooled, queries)]
    return sum(map(math.log, mass)) / len(queries) - l2 * dot(weights, weights) / 2


# --- fusion ------------------------------------------------------------------------------------------------------


def fuse_mean(scores, members, mask):
    """``scores`` of all assistants (A lists of N), ``members`` the indices of those fused -> N probabilities."""
    distributions = [softmax(scores[member], mask) for member in members]
    return [sum(column) / len(members) for column in zip(*distributions)]


def fuse_weighted(scores, members, mask, weights):
    """``weights`` of all assistants; only those of the fused ones count, equally where all of them are zero."""
    total = sum(weights[member] for member in members)
    shares = [weights[member] / total if total else 1 / len(members) for member in members]
    distributions = [softmax(scores[member], mask) for member in members]
    return [dot(shares, column) for column in zip(*distributions)]


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


def reverse_kl(target, student):
    return kl(student, target)


def jensen_shannon(target, student):
    mean = [(a + b) / 2 for a, b in zip(target, student)]
    return (kl(target, mean) + kl(student, mean)) / 2


# --- objectives: (student logits, target log-probabilities, mask) of one list; -inf and masked have no number --------


def valid_ones(mask):
    return [i for i, inside in enumerate(mask) if inside]


def first_ones(target, mask, positive):
    """The valid positives, or the target's best where there is none."""
    found = [i for i in valid_ones(mask) if positive[i]]
    return found or ranking(target, mask)[:1]


def log_sigmoid(x):
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def average_rank(i, values, mask):
    """1 for the highest; tied candidates share the mean of their ranks."""
    higher = sum(values[j] > values[i] for j in valid_ones(mask))
    equal = sum(values[j] == values[i] for j in valid_ones(mask))
    return higher + (equal + 1) / 2


def approximate_rank(i, student, mask, temperature=1.0):
    others = [j for j in valid_ones(mask) if j != i]
    return 1 + sum(math.exp(log_sigmoid((student[j] - student[i]) / temperature)) for j in others)


def gain(i, target, mask, gains="reciprocal-rank"):
    return math.exp(target[i]) if gains == "probability" else 1 / average_rank(i, target, mask)


def ideal_gain(target, mask, gains="reciprocal-rank", top=None):
    best = ranking(target, mask)[:top]
    return sum(gain(i, target, mask, gains) / math.log2(2 + place) for place, i in enumerate(best))


def margin_mse_of_list(student, target, mask, positive):
    first = first_ones(target, mask, positive)
    others = [j for j in valid_ones(mask) if j not in first]
    squares = [((student[i] - student[j]) - (target[i] - target[j])) ** 2 for i in first for j in others]
    return sum(squares) / len(squares) if squares else 0.0


def plackett_luce(
    student,
    target,
    mask,
    positive,
    others=(),
    order="teacher",
    weights="uniform",
    top=None,
    least=0.0,
    hardest=None,
    in_batch=False,
):
    first = first_ones(target, mask, positive)
    negatives = [i for i in ranking(student, mask) if i not in first][:hardest]
    drawn = negatives if order == "negatives" else [*first, *negatives]
    taking_part = [i in drawn for i in range(len(mask))]
    drawn = [i for i in range(len(mask)) if taking_part[i]] if order == "given" else ranking(target, taking_part)
    if order == "positives-first":
        drawn = [*(i for i in drawn if i in first), *(i for i in drawn if i not in first)]
    total = sum(math.exp(target[i]) for i in drawn)
    value = 0.0
    for step, i in enumerate(drawn[:top]):
        share = math.exp(target[i]) / total
        left = [student[j] for j in drawn[step:]] + (list(others) if in_batch else [])
        term = math.log(sum(math.exp(s) for s in left)) - student[i]
        value += (term * share if weights == "confidence" else term) if share >= least else 0.0
    return value


def pairs_of(student, mask, top=None):
    """Ordered pairs of different candidates, one of the two among the student's best so many."""
    inside = ranking(student, mask)[:top]
    every = valid_ones(mask)
    return [(i, j) for i in every for j in every if i != j and (i in inside or j in inside)]


def ranknet(student, target, mask, preferences="hard", top=None):
    found = []
    for i, j in pairs_of(student, mask, top):
        ahead, wanted = student[i] - student[j], target[i] - target[j]
        if preferences == "hard" and wanted > 0:
            found.append(-log_sigmoid(ahead))
        elif preferences == "soft" and i < j:
            p, q = (1 / (1 + math.exp(-x)) for x in (wanted, ahead))
            found.append(kl([p, 1 - p], [q, 1 - q]))
    return sum(found) / len(found) if found else 0.0


def lambda_rank(student, target, mask, weighting="lambda-rank", gains="reciprocal-rank", top=None, mu=10.0):
    place = {i: 1 + rank for rank, i in enumerate(ranking(student, mask))}
    found = []
    for i, j in pairs_of(student, mask, top):
        if target[i] <= target[j]:
            continue
        worth = abs(gain(i, target, mask, gains) - gain(j, target, mask, gains)) / ideal_gain(target, mask, gains, top)
        changed = abs(1 / math.log2(1 + place[i]) - 1 / math.log2(1 + place[j]))
        apart = abs(place[i] - place[j])
        bound = 1 / math.log2(1 + apart) - 1 / math.log2(2 + apart)
        weight = {"lambda-rank": changed, "ndcg-loss2": bound, "ndcg-loss2++": mu * bound + changed}[weighting]
        found.append(worth * weight * -log_sigmoid(student[i] - student[j]))
    return sum(found) / len(found) if found else 0.0


def adr_mse(student, target, mask, temperature=1.0):
    total = 0.0
    for i in valid_ones(mask):
        rank = average_rank(i, target, mask)
        total += (approximate_rank(i, student, mask, temperature) - rank) ** 2 / math.log2(1 + rank)
    return total / max(1, sum(mask))


def approx_ndcg(student, target, mask, temperature=1.0, gains="reciprocal-rank"):
    if sum(mask) < 2:
        return 0.0
    ranks = {i: approximate_rank(i, student, mask, temperature) for i in valid_ones(mask)}
    found = sum(gain(i, target, mask, gains) / math.log2(1 + rank) for i, rank in ranks.items())
    return 1 - found / ideal_gain(target, mask, gains)


def approx_mrr(student, target, mask, temperature=1.0):
    if sum(mask) < 2:
        return 0.0
    return 1 - 1 / approximate_rank(ranking(target, mask)[0], student, mask, temperature)


def pearson_distance(student, target, mask):
    every = valid_ones(mask)
    if len({target[i] for i in every}) < 2:
        return 0.0
    means = [sum(values[i] for i in every) / len(every) for values in (student, target)]
    a, b = ([values[i] - mean for i in every] for values, mean in zip((student, target), means))
    return 1 - cosine(a, b) if dot(a, a) > 0 else 1.0


def binary_cross_entropy(student, wanted, mask, others=(), *, scale, bias):
    """Of a list's pairs and of the zeros beyond it, whose logits are ``others``."""
    found = []
    for logit, y in [*((student[i], wanted[i]) for i in valid_ones(mask)), *((s, 0.0) for s in others)]:
        found.append(-y * log_sigmoid(scale * logit + bias) - (1 - y) * log_sigmoid(-scale * logit - bias))
    return sum(found) / len(found) if found else 0.0


def query_weights(values, counts):
    """With mean 1 over those that count."""
    total = sum(value for value, yes in zip(values, counts) if yes)
    return [value * sum(counts) / total if yes else 0.0 for value, yes in zip(values, counts)] if total else None


def margin_mse(similarities, scores):
    """Mean over lists and negatives of the squared difference of margins; the positive comes first in each list."""
    squares = [((s[0] - s[n]) - (t[0] - t[n])) ** 2 for s, t in zip(similarities, scores) for n in range(1, len(s))]
    return sum(squares) / len(squares)


def info_nce(logits, positive, negative):
    """Mean over the positives of -log of their share against the negatives and themselves."""
    positives = [s for s, inside in zip(logits, positive) if inside]
    negatives = [s for s, inside in zip(logits, negative) if inside]
    if not positives:
        return 0.0
    shares = [math.exp(s) / (math.exp(s) + sum(math.exp(n) for n in negatives)) for s in positives]
    return sum(-math.log(share) for share in shares) / len(shares)


def judged_with(positives, groups):
    """The passages that are in the group of a positive."""
    return {i for i, group in enumerate(groups or ()) if any(groups[p] == group for p in positives)}


def listwise_kl_loss(
    queries,
    documents,
    scores,
    index,
    positive,
    *,
    similarity=cosine,
    scale,
    temperature,
    alpha,
    contrastive_weight,
    contrastive_scale,
    groups=None,
):
    """The whole loss for the flat form: ``scores`` (B, S, N), ``index`` (B, N) with -1, ``positive`` (B, N).

    With ``groups`` (U,) what is in that of a positive is no negative.
    """
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
        negatives = pool - positives - filtered - judged_with(positives, groups)
        if positives:
            every = range(len(documents))
            logits = [contrastive_scale * similarity(query, document) for document in documents]
            contrasts.append(info_nce(logits, [i in positives for i in every], [i in negatives for i in every]))
    divergence = sum(divergences) / len(divergences) if divergences else 0.0
    contrast = sum(contrasts) / len(contrasts) if contrasts else 0.0
    return divergence + contrastive_weight * contrast


def listwise_reranker_loss(lists, *, scale, temperature, alpha, contrastive_weight):
    """The whole loss of a cross-encoder over ``lists`` of (logits (N,), scores (S, N), positive (N,))."""
    divergences, contrasts = [], []
    for logits, scores, positive in lists:
        mask = [all(math.isfinite(scorer[n]) for scorer in scores) for n in range(len(logits))]
        if sum(mask) < 2:
            continue
        scaled = [scale * logit for logit in logits]
        student = softmax(scaled, mask)
        rows = [
            kl(softmax([s / temperature if m else 0.0 for s, m in zip(scorer, mask)], mask), student)
            for scorer in scores
        ]
        others = rows[1:]
        divergences.append(rows[0] if not others else alpha * rows[0] + (1 - alpha) * sum(others) / len(others))
        relevant = [p and m for p, m in zip(positive, mask)]
        if any(relevant):
            contrasts.append(info_nce(scaled, relevant, [m and not p for p, m in zip(positive, mask)]))
    total = sum(divergences) / len(divergences)
    return total + contrastive_weight * (sum(contrasts) / len(contrasts) if contrasts else 0.0)


def exits_loss(values, logits, masks, weights, guidance):
    """``values`` of the loss and ``logits`` (B lists of N) after every exit and, last, after all layers."""
    total = values[-1]
    for n, weight in enumerate(weights):
        led = [
            kl(softmax(larger, mask), softmax(smaller, mask))
            for smaller, larger, mask in zip(logits[n], logits[n + 1], masks)
            if sum(mask) >= 2
        ]
        total += weight * (values[n] + guidance * sum(led) / len(led))
    return total


def heads_divergence(queries, documents, scores, index, offsets, *, similarity=cosine, scale, temperature):
    """Mean over the heads of KL from scorer k to head k, ``offsets`` (K, D, D) less their mean beside the identity."""
    width, count = len(queries[0]), len(offsets)
    mean = [[sum(head[i][j] for head in offsets) / count for j in range(width)] for i in range(width)]

    def through(head, row):
        return [sum(((i == j) + head[i][j] - mean[i][j]) * row[j] for j in range(width)) for i in range(width)]

    values = []
    for k, head in enumerate(offsets):
        of_head = []
        for query, of_query, row in zip(queries, scores, index):
            mask = [i >= 0 and all(math.isfinite(scorer[n]) for scorer in of_query) for n, i in enumerate(row)]
            if sum(mask) >= 2:
                moved = [through(head, documents[max(i, 0)]) for i in row]
                logits = [scale * similarity(through(head, query), document) for document in moved]
                target = softmax([score / temperature for score in of_query[k]], mask)
                of_head.append(kl(target, softmax(logits, mask)))
        values.append(sum(of_head) / len(of_head))
    return sum(values) / count


def layer_distillation(student, teacher, masks, positives, temperature, pairs):
    """``student`` and ``teacher`` hold, for every query, lists of N logits of each layer; ``pairs`` counts from 0."""
    lists = [q for q, mask in enumerate(masks) if sum(mask) >= 2]
    judged = [q for q in lists if any(yes and inside for yes, inside in zip(positives[q], masks[q]))]

    def mean_loss(layer):
        masses = [mass_on(softmax(teacher[q][layer], masks[q]), positives[q], masks[q]) for q in judged]
        return sum(-math.log(mass) for mass in masses) / max(1, len(masses))

    weights = softmax([-mean_loss(theirs) / temperature for _, theirs in pairs], [True] * len(pairs))
    total = 0.0
    for weight, (mine, theirs) in zip(weights, pairs):
        apart = [kl(softmax(teacher[q][theirs], masks[q]), softmax(student[q][mine], masks[q])) for q in lists]
        total += weight * sum(apart) / len(apart)
    return total


def embedding_regression(queries, documents, query_targets, document_targets):
    """Mean cosine distance over the queries plus the mean over the documents, masked or not."""

    def mean_distance(rows, targets):
        return sum(1 - cosine(row, target) for row, target in zip(rows, targets)) / len(rows)

    return mean_distance(queries, query_targets) + mean_distance(documents, document_targets)


# --- the filtered contrastive loss -------------------------------------------------------------------------------


def filter_weight(score, positive_scores, relative, absolute, temperature):
    """The share of a negative that stays, and how far its score is above the threshold."""
    lowest = min(positive_scores)
    excess = score - (lowest - relative * abs(lowest) - absolute)
    if temperature is None:
        return (0.0 if excess > 0 else 1.0), excess
    return 1 / (1 + math.exp(excess / temperature)), excess


def filtered_contrastive_loss(
    queries,
    documents,
    scores,
    index,
    positive,
    *,
    similarity=cosine,
    scale,
    relative=0.0,
    absolute=0.0,
    temperature=None,
    teacher_queries=None,
    teacher_documents=None,
    groups=None,
):
    """(loss, filter rate) for the flat form; with teacher embeddings also passages outside the list are judged."""
    masks = [
        [i >= 0 and all(math.isfinite(scorer[n]) for scorer in of_query) for n, i in enumerate(row)]
        for of_query, row in zip(scores, index)
    ]
    pool = sorted({i for row, mask in zip(index, masks) for i, inside in zip(row, mask) if inside})
    losses, judged, lost = [], 0, 0.0
    for b, (query, row, mask) in enumerate(zip(queries, index, masks)):
        listed = {i: scores[b][0][n] for n, i in enumerate(row) if mask[n]}
        positives = {i for n, i in enumerate(row) if mask[n] and positive[b][n]}
        unknown = {i for n, i in enumerate(row) if i >= 0 and not mask[n]}
        if not positives:
            continue
        own = [dot(teacher_queries[b], teacher) for teacher in teacher_documents] if teacher_queries else None
        weights, excesses = {}, {}
        for i in pool:
            if i in positives | unknown | judged_with(positives, groups):
                continue
            if i in listed:
                known = (listed[i], [listed[p] for p in positives])
            elif own is not None:
                known = (own[i], [own[p] for p in positives])
            else:
                weights[i], excesses[i] = 1.0, -math.inf
                continue
            weights[i], excesses[i] = filter_weight(*known, relative, absolute, temperature)
            judged, lost = judged + 1, lost + 1 - weights[i]
        if weights and not any(weights.values()):
            weights[min(excesses, key=excesses.get)] = 1.0
        if len(listed) < 2:
            continue
        logits = {i: scale * similarity(query, documents[i]) for i in pool}
        rest = sum(weight * math.exp(logits[i]) for i, weight in weights.items())
        shares = [math.exp(logits[p]) / (math.exp(logits[p]) + rest) for p in positives]
        losses.append(sum(-math.log(share) for share in shares) / len(shares))
    return sum(losses) / len(losses) if losses else 0.0, lost / judged if judged else 0.0


# --- whole batches -----------------------------------------------------------------------------------------------


def max_sim(query, document):
    """The sum over query tokens of the largest dot product with a passage token; 0 without tokens on either side."""
    return sum(max(dot(token, other) for other in document) for token in query) if document else 0.0


def in_batch_loss(
    queries,
    documents,
    scores,
    index,
    positive,
    teacher,
    *,
    similarity=cosine,
    scale,
    temperature,
    contrastive_weight=0.0,
    contrastive_scale=1.0,
    relative=None,
    groups=None,
):
    """TCT-ColBERT's loss for the flat form: ``teacher`` (B, U) scores every query with every passage.

    ``scores`` (B, S, N) of the lists only say what is missing; with ``relative`` passages that the teacher scores
    above the lowest positive less that share are left out, but for the one nearest to the threshold if all were.
    """
    masks = [
        [i >= 0 and all(math.isfinite(scorer[n]) for scorer in of_query) for n, i in enumerate(row)]
        for of_query, row in zip(scores, index)
    ]
    pool = {i for row, mask in zip(index, masks) for i, inside in zip(row, mask) if inside}
    divergences, contrasts = [], []
    for query, row, mask, relevant, wanted in zip(queries, index, masks, positive, teacher):
        missing = {i for i, inside in zip(row, mask) if i >= 0 and not inside}
        known = [i for i in sorted(pool - missing) if math.isfinite(wanted[i])]
        positives = [i for i in known if any(i == j and inside and yes for j, inside, yes in zip(row, mask, relevant))]
        known = [i for i in known if i in positives or i not in judged_with(positives, groups)]
        if relative is not None and positives:
            negatives = [i for i in known if i not in positives]
            excess = {
                i: filter_weight(wanted[i], [wanted[p] for p in positives], relative, 0.0, None)[1] for i in negatives
            }
            kept = [i for i in negatives if excess[i] <= 0] or sorted(negatives, key=excess.get)[:1]
            known = sorted([*positives, *kept])
        if len(known) < 2:
            continue
        every = [True] * len(known)
        similarities = [similarity(query, documents[i]) for i in known]
        student = softmax([scale * value for value in similarities], every)
        divergences.append(kl(softmax([wanted[i] / temperature for i in known], every), student))
        if positives:
            inside = [i in positives for i in known]
            logits = [contrastive_scale * value for value in similarities]
            contrasts.append(info_nce(logits, inside, [not one for one in inside]))
    divergence = sum(divergences) / len(divergences) if divergences else 0.0
    return divergence + contrastive_weight * (sum(contrasts) / len(contrasts) if contrasts else 0.0)


# --- word level --------------------------------------------------------------------------------------------------


def shared_characters(student_spans, teacher_spans):
    """(I, T) number of characters that both tokens cover."""
    return [[len({*range(*mine)} & {*range(*theirs)}) for theirs in teacher_spans] for mine in student_spans]


def aligned_attention(logits, rows, columns):
    """``logits`` (T, T) of one head, ``rows`` (I, T) and ``columns`` (J, T) shared characters -> (I, J)."""
    tokens = range(len(logits))
    seen = [any(column[t] > 0 for column in columns) for t in tokens]
    attention = [softmax(row, seen) for row in logits]
    found = []
    for row in rows:
        whole = sum(row)
        mean = [sum(row[t] * attention[t][u] for t in tokens) / whole if whole else 0.0 for u in tokens]
        weights = [sum(column[u] for column in columns) for u in tokens]
        found.append([sum(mean[u] * column[u] / weights[u] for u in tokens if weights[u]) for column in columns])
    return found


def attention_distance(student_logits, teacher, rows, columns, distance):
    """Both (H, I, J), the student's before the softmax; ``rows`` and ``columns`` say which tokens are compared."""
    terms = []
    for mine, theirs in zip(student_logits, teacher):
        for i in (i for i, inside in enumerate(rows) if inside):
            student = softmax(mine[i], columns)
            if distance == "kl":
                terms.append(kl(theirs[i], student))
            else:
                terms += [(a - b) ** 2 for a, b, inside in zip(student, theirs[i], columns) if inside]
    return sum(terms) / len(terms) if terms and any(columns) else 0.0


def interaction(queries, documents):
    """(I, J) logits of two lists of token states."""
    return [[dot(a, b) / math.sqrt(len(a)) for b in documents] for a in queries]


def relation(states, heads):
    """(A, L, L) logits of token states cut into ``heads`` parts."""
    width = len(states[0]) // heads
    parts = [[state[a * width : (a + 1) * width] for state in states] for a in range(heads)]
    return [interaction(part, part) for part in parts]


def normalised(state):
    mean = sum(state) / len(state)
    variance = sum((x - mean) ** 2 for x in state) / len(state)
    return [(x - mean) / math.sqrt(variance + 1e-5) for x in state]


def state_distance(student, teacher, compared, normalize):
    terms = []
    for mine, theirs, inside in zip(student, teacher, compared):
        if inside:
            pair = (normalised(mine), normalised(theirs)) if normalize else (mine, theirs)
            terms += [(a - b) ** 2 for a, b in zip(*pair)]
    return sum(terms) / len(terms) if terms else 0.0


def filter_loss(queries, documents, index, mask, positive, scale):
    """Cross entropy of the positives within each query's list, by the cosine of filtered and pooled states."""
    values = []
    for query, row, inside, relevant in zip(queries, index, mask, positive):
        logits = [scale * cosine(query, documents[i]) for i in row]
        of_list = [yes and valid for yes, valid in zip(relevant, inside)]
        others = [valid and not yes for yes, valid in zip(relevant, inside)]
        if sum(inside) >= 2 and any(of_list):
            values.append(info_nce(logits, of_list, others))
    return sum(values) / len(values)


def procrustes_distance(source, target, matrix) -> float:
    """Sum of squared distances of each row times the matrix to its target."""
    total = 0.0
    for row, wanted in zip(source.tolist(), target.tolist()):
        for column, value in enumerate(wanted):
            total += (sum(x * float(matrix[i][column]) for i, x in enumerate(row)) - value) ** 2
    return total


def joined_similarity(parts, weights) -> list[float]:
    """Weighted sum over parts of the cosine of each query with its passage; weights sum to 1."""
    found = []
    for row in range(len(parts[0][0])):
        total = 0.0
        for (queries, passages), weight in zip(parts, weights):
            q, p = [float(x) for x in queries[row]], [float(x) for x in passages[row]]
            lengths = math.sqrt(sum(x * x for x in q)) * math.sqrt(sum(x * x for x in p))
            total += weight * sum(x * y for x, y in zip(q, p)) / lengths
        found.append(total)
    return found


# --- embedding distillation --------------------------------------------------------------------------------------


def embedding_mse(student, targets):
    squares = [(x - y) ** 2 for row, target in zip(student, targets) for x, y in zip(row, target)]
    return sum(squares) / len(squares)


def embedding_l2(student, targets):
    return sum(math.dist(row, target) for row, target in zip(student, targets)) / len(student)


def embedding_cosine(student, targets):
    return sum(1 - cosine(row, target) for row, target in zip(student, targets)) / len(student)


def embedding_gram(student, targets):
    everywhere = [(i, j) for i in range(len(student)) for j in range(len(student))]
    differences = [cosine(student[i], student[j]) - cosine(targets[i], targets[j]) for i, j in everywhere]
    return sum(difference**2 for difference in differences) / len(everywhere)


def pair_cosines(rows):
    return [cosine(rows[i], rows[j]) for i in range(len(rows)) for j in range(i + 1, len(rows))]


def misordered(similarities, targets, margin):
    """Mean over all unordered pairs of relu(lower - higher + margin), lower and higher as the targets have them."""
    total = count = 0
    for p in range(len(similarities)):
        for q in range(p + 1, len(similarities)):
            count += 1
            sign = (targets[q] > targets[p]) - (targets[q] < targets[p])
            total += max(0.0, (similarities[p] - similarities[q]) * sign + margin) if sign else 0.0
    return total / count if count else 0.0


def embedding_relative(student, targets, margin=0.015):
    return misordered(pair_cosines(student), pair_cosines(targets), margin)


def embedding_spread(student, targets):
    cosines = pair_cosines(student)
    first, second = sum(cosines) / len(cosines), sum(c * c for c in cosines) / len(cosines)
    return first**2 + max(0.0, second - 1 / len(student[0]))


def reranking_prompt(family, query, document):
    """What the rerankers of these families read, from their model cards; <bos> is the tokenizer's first token."""
    if family == "qwen3":
        return (
            "<|im_start|>system\n"
            "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
            'Note that the answer can only be "yes" or "no".<|im_end|>\n'
            "<|im_start|>user\n"
            "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
            "<Query>: " + query + "\n<Document>: " + document + "<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\n"
        )
    if family == "bge-gemma":
        return (
            "<bos>A: " + query + "\nB: " + document + "\n"
            "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
            "providing a prediction of either 'Yes' or 'No'."
        )
    if family == "mxbai":
        return (
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nquery: " + query + "\ndocument: " + document + "\n"
            "You are a search relevance expert who evaluates how well documents match search queries. For each "
            "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
            "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n<|im_start|>assistant\n"
        )
    assert family == "monot5"
    return "Query: " + query + " Document: " + document + " Relevant:"


# --- preferences -------------------------------------------------------------------------------------------------


def bradley_terry(wins, prior):
    """Each score in turn where the slope of the penalised likelihood in it is zero, by bisection, until none moves."""
    size = len(wins)
    scores = [0.0] * size

    def slope(i, score):
        pull = -prior * score
        for j in range(size):
            if j != i:
                pull += wins[i][j] - (wins[i][j] + wins[j][i]) / (1 + math.exp(scores[j] - score))
        return pull

    for _ in range(3000):
        moved = 0.0
        for i in range(size):
            low, high = -60.0, 60.0
            for _ in range(70):
                middle = (low + high) / 2
                low, high = (middle, high) if slope(i, middle) > 0 else (low, middle)
            moved, scores[i] = max(moved, abs(middle - scores[i])), middle
        if moved < 1e-12:
            break
    return scores


# --- candidates by a matrix factorisation --------------------------------------------------------------------------


def solved(matrix, right):
    """x of matrix @ x = right, by elimination with pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(len(rows)):
            if j != i:
                factor = rows[j][i] / rows[i][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i])]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def anncur(known, anchors, rows):
    """One query: weights of the anchor queries that fit its anchors with least squares, then all other scores."""
    columns = [[row[anchor] for anchor in anchors] for row in rows]  # (M, K), K >= M and of full rank
    normal = [[sum(a * b for a, b in zip(one, other)) for other in columns] for one in columns]
    weights = solved(normal, [sum(a * b for a, b in zip(one, known)) for one in columns])
    scores = [sum(weight * row[j] for weight, row in zip(weights, rows)) for j in range(len(rows[0]))]
    for anchor, score in zip(anchors, known):
        scores[anchor] = score
    return scores


# --- a bandit among metrics ----------------------------------------------------------------------------------------


def exp3(count, draws, divergences, explore=0.2, memory=0.9):
    """Choices and final probabilities; plain weights, and a reward for the choice of the batch before."""
    weights, choices, mean, before = [1.0] * count, [], None, None
    for drawn, divergence in zip(draws, divergences):
        shares = [(1 - explore) * weight / sum(weights) + explore / count for weight in weights]
        choice = next(k for k in range(count) if drawn < sum(shares[: k + 1]) or k == count - 1)
        if before is not None:
            reward = min(1.0, max(0.0, 0.5 + (mean - divergence) / (2 * mean)))
            weights[before[0]] *= math.exp(explore * reward / (before[1] * count))
        mean = divergence if mean is None else memory * mean + (1 - memory) * divergence
        before = choice, shares[choice]
        choices.append(choice)
    return choices, [(1 - explore) * weight / sum(weights) + explore / count for weight in weights]


# --- labels and texts --------------------------------------------------------------------------------------------


def relabelled(rows, margin):
    """Lists of (passage, grade, score) with the teacher's positive first where it is surer than of every label.

    Args:
        rows: Lists of (passage, grade, teacher's score); a grade of 0 is no positive.
        margin: By which it has to be surer.

    Returns:
        The lists as (passage, grade), and the numbers of those that changed.
    """
    lists, changed = [], []
    for number, row in enumerate(rows):
        labels = [(score, grade) for _, grade, score in row if grade > 0]
        best = max(range(len(row)), key=lambda place: (row[place][2], -place))
        plain = [(passage, grade) for passage, grade, _ in row]
        if labels and row[best][1] == 0 and row[best][2] > max(score for score, _ in labels) + margin:
            changed.append(number)
            taken = (row[best][0], max(grade for _, grade in labels))
            plain = [taken, *plain[:best], *plain[best + 1 :]]
        lists.append(plain)
    return lists, changed


def document_score(scores, best):
    """A document's score: the sum of the ``best`` highest of its windows' scores; None of a window counts nothing."""
    known = sorted((score for score in scores if score is not None), reverse=True)
    return sum(known[:best]) if known else None


def windows(words, size, stride):
    """The windows of a list of words: each of ``size`` words at most, the last one ends with the text."""
    found, start = [], 0
    while True:
        found.append(words[start : start + size])
        if start + size >= len(words):
            return found
        start += stride
