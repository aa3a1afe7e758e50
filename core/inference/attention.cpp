// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/attention.h"

#include "core/inference/operations_backward.h"
#include "core/kernels/exponentials.h"
#include "core/kernels/norm_rows.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace quantloupe {
namespace {

/// First key that the query at this position sees.
std::size_t firstKey(const AttentionHead& head, std::size_t position)
{
    const bool all = head.window == 0 || position < head.window;
    return all ? 0 : position + 1 - static_cast<std::size_t>(head.window);
}

}  // namespace

AttentionWeights weighKeys(const AttentionHead& head, std::size_t firstQuery, std::size_t count, bool keepsCapped)
{
    const auto begin = firstKey(head, firstQuery);
    const auto keys = firstQuery + count - begin;
    AttentionWeights weights {.firstKey = begin, .keys = keys, .firstQuery = firstQuery, .queries = count};
    weights.probabilities = UnsetArray<float>(count * keys);
    kernels::multiplyByTransposed(head.queries.rowRange(firstQuery, count), head.keys.rowRange(begin, keys),
        {weights.probabilities.data(), count, keys, keys}, head.scale);
    keepsCapped = keepsCapped && head.cap > 0.0F;
    if (keepsCapped)
        weights.capped.resize(count * keys);
    for (std::size_t i = 0; i < count; ++i) {
        const auto position = firstQuery + i;
        const auto row = std::span(weights.probabilities.data() + (i * keys), keys);
        const auto unseen = firstKey(head, position) - begin;
        const auto seen = row.subspan(unseen, position + 1 - begin - unseen);
        if (head.cap > 0.0F)
            softCap(seen, head.cap);
        if (keepsCapped)
            std::copy(
                seen.begin(), seen.end(), weights.capped.begin() + static_cast<std::ptrdiff_t>((i * keys) + unseen));
        if (head.softmaxInIntegers)
            softmaxInIntegers(seen);
        else
            kernels::softmax(seen);
        std::fill_n(row.begin(), unseen, 0.0F);
        std::fill(row.begin() + static_cast<std::ptrdiff_t>(position + 1 - begin), row.end(), 0.0F);
    }
    return weights;
}

void attend(const AttentionHead& head, const AttentionWeights& weights)
{
    kernels::multiply(weights.rows(), head.values.rowRange(weights.firstKey, weights.keys),
        head.result.rowRange(weights.firstQuery, weights.queries));
}

void attend(const AttentionHead& head, std::size_t firstQuery, std::size_t count)
{
    attend(head, weighKeys(head, firstQuery, count, false));
}

void attendBackward(const AttentionHead& head, const AttentionWeights& weights, kernels::ConstMatrix resultGradient,
    const AttentionHeadGradient& gradient)
{
    using kernels::Side;
    const auto begin = weights.firstKey, keys = weights.keys;
    const auto firstQuery = weights.firstQuery, count = weights.queries;
    const auto given = resultGradient.rowRange(firstQuery, count);
    kernels::addProduct(
        1.0F, weights.rows(), Side::Transposed, given, Side::Plain, 1.0F, gradient.values.rowRange(begin, keys));

    // What is masked has probability 0.
    UnsetArray<float> scores(count * keys);
    const kernels::MutableMatrix scoreRows {scores.data(), count, keys, keys};
    kernels::multiplyByTransposed(given, head.values.rowRange(begin, keys), scoreRows);
    for (std::size_t i = 0; i < count; ++i)
        kernels::softmaxBackward({weights.rows().row(i), keys}, {scoreRows.row(i), keys});
    if (head.cap > 0.0F)
        softCapBackward(weights.capped, head.cap, {scores.data(), scores.size()});
    kernels::addProduct(head.scale, scoreRows, Side::Plain, head.keys.rowRange(begin, keys), Side::Plain, 1.0F,
        gradient.queries.rowRange(firstQuery, count));
    kernels::addProduct(head.scale, scoreRows, Side::Transposed, head.queries.rowRange(firstQuery, count), Side::Plain,
        1.0F, gradient.keys.rowRange(begin, keys));
}

}  // namespace quantloupe
