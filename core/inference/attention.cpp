// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/attention.h"

#include "core/inference/operations.h"

#include <algorithm>
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

void attend(const AttentionHead& head, std::size_t firstQuery, std::size_t count)
{
    const auto begin = firstKey(head, firstQuery);
    const auto keys = firstQuery + count - begin;
    std::vector<float> scores(count * keys);
    const kernels::MutableMatrix rows {scores.data(), count, keys, keys};
    kernels::multiplyByTransposed(
        head.queries.rowRange(firstQuery, count), head.keys.rowRange(begin, keys), rows, head.scale);
    for (std::size_t i = 0; i < count; ++i) {
        const auto position = firstQuery + i;
        const auto row = std::span(scores).subspan(i * keys, keys);
        const auto unseen = firstKey(head, position) - begin;
        const auto seen = row.subspan(unseen, position + 1 - begin - unseen);
        if (head.cap > 0.0F)
            softCap(seen, head.cap);
        if (head.softmaxInIntegers)
            softmaxInIntegers(seen);
        else
            softmax(seen);
        std::fill_n(row.begin(), unseen, 0.0F);
        std::fill(row.begin() + static_cast<std::ptrdiff_t>(position + 1 - begin), row.end(), 0.0F);
    }
    kernels::multiply(rows, head.values.rowRange(begin, keys), head.result.rowRange(firstQuery, count));
}

}  // namespace quantloupe
