// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/attention.h"

#include "core/inference/operations_backward.h"

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

/// Of some queries: rows of scores of the keys from `firstKey` on, and what softmax makes of them.
struct Attended {
    std::size_t firstKey = 0, keys = 0, queries = 0;
    std::vector<float> probabilities {};
    std::vector<float> capped {};  ///< the scores behind the soft cap, where that was asked for

    kernels::MutableMatrix rows() { return {probabilities.data(), queries, keys, keys}; }
};

Attended weighKeys(const AttentionHead& head, std::size_t firstQuery, std::size_t count, bool keepsCapped)
{
    const auto begin = firstKey(head, firstQuery);
    Attended attended {.firstKey = begin, .keys = firstQuery + count - begin, .queries = count};
    const auto keys = attended.keys;
    attended.probabilities.resize(count * keys);
    kernels::multiplyByTransposed(
        head.queries.rowRange(firstQuery, count), head.keys.rowRange(begin, keys), attended.rows(), head.scale);
    if (keepsCapped)
        attended.capped.resize(count * keys);
    for (std::size_t i = 0; i < count; ++i) {
        const auto position = firstQuery + i;
        const auto row = std::span(attended.probabilities).subspan(i * keys, keys);
        const auto unseen = firstKey(head, position) - begin;
        const auto seen = row.subspan(unseen, position + 1 - begin - unseen);
        if (head.cap > 0.0F)
            softCap(seen, head.cap);
        if (keepsCapped)
            std::copy(
                seen.begin(), seen.end(), attended.capped.begin() + static_cast<std::ptrdiff_t>((i * keys) + unseen));
        if (head.softmaxInIntegers)
            softmaxInIntegers(seen);
        else
            softmax(seen);
        std::fill_n(row.begin(), unseen, 0.0F);
        std::fill(row.begin() + static_cast<std::ptrdiff_t>(position + 1 - begin), row.end(), 0.0F);
    }
    return attended;
}

}  // namespace

void attend(const AttentionHead& head, std::size_t firstQuery, std::size_t count)
{
    auto attended = weighKeys(head, firstQuery, count, false);
    kernels::multiply(attended.rows(), head.values.rowRange(attended.firstKey, attended.keys),
        head.result.rowRange(firstQuery, count));
}

void attendBackward(const AttentionHead& head, kernels::ConstMatrix resultGradient, std::size_t firstQuery,
    std::size_t count, const AttentionHeadGradient& gradient)
{
    using kernels::Side;
    auto attended = weighKeys(head, firstQuery, count, head.cap > 0.0F);
    const auto begin = attended.firstKey, keys = attended.keys;
    const auto given = resultGradient.rowRange(firstQuery, count);
    kernels::addProduct(
        1.0F, attended.rows(), Side::Transposed, given, Side::Plain, 1.0F, gradient.values.rowRange(begin, keys));

    // Of softmax: ds = p · (dp − Σ p·dp). What is masked has p = 0.
    std::vector<float> scores(count * keys);
    const kernels::MutableMatrix scoreRows {scores.data(), count, keys, keys};
    kernels::multiplyByTransposed(given, head.values.rowRange(begin, keys), scoreRows);
    for (std::size_t i = 0; i < count; ++i) {
        const float* weights = attended.rows().row(i);
        float* row = scoreRows.row(i);
        double mean = 0.0;
        for (std::size_t key = 0; key < keys; ++key)
            mean += static_cast<double>(weights[key]) * static_cast<double>(row[key]);
        for (std::size_t key = 0; key < keys; ++key)
            row[key] = weights[key] * (row[key] - static_cast<float>(mean));
    }
    if (head.cap > 0.0F)
        softCapBackward(attended.capped, head.cap, scores);
    kernels::addProduct(head.scale, scoreRows, Side::Plain, head.keys.rowRange(begin, keys), Side::Plain, 1.0F,
        gradient.queries.rowRange(firstQuery, count));
    kernels::addProduct(head.scale, scoreRows, Side::Transposed, head.queries.rowRange(firstQuery, count), Side::Plain,
        1.0F, gradient.keys.rowRange(begin, keys));
}

}  // namespace quantloupe
