// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/distillation.h"

#include "core/inference/operations.h"
#include "core/inference/operations_backward.h"
#include "core/training/batches.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

TaughtOutputs::TaughtOutputs(const Decoder& teacher, const WindowedText& text, std::uint64_t bytes)
    : m_teacher(teacher)
    , m_text(text)
    , m_bytes(bytes)
{
}

Result<std::vector<TaughtWindow>> TaughtOutputs::of(std::span<const std::size_t> windows, std::stop_token stop)
{
    std::vector<std::size_t> missing;
    for (const auto window : windows)
        if (!m_kept.contains(window) && std::find(missing.begin(), missing.end(), window) == missing.end())
            missing.push_back(window);
    const auto batch = someWindows(m_text, missing);
    m_latest = {};
    if (!missing.empty()) {
        auto outputs = runForward(m_teacher, batch, 0, batch.windows.size(), {}, {}, std::move(stop));
        if (!outputs)
            return tl::unexpected(outputs.error());
        m_latest = std::move(*outputs);
    }
    std::map<std::size_t, TaughtWindow> latest;
    std::size_t first = 0;
    for (const auto window : missing) {
        const auto values = m_latest.part(first, m_text.windows[window].scored() * m_teacher.hidden);
        first += values.size();
        latest[window] = values;
        if (values.size_bytes() > m_bytes)
            continue;
        m_bytes -= values.size_bytes();
        m_kept[window].assign(values.begin(), values.end());
    }
    std::vector<TaughtWindow> taught;
    for (const auto window : windows) {
        const auto found = latest.find(window);
        taught.push_back(found == latest.end() ? TaughtWindow(m_kept.at(window)) : found->second);
    }
    return taught;
}

LossFunction distillationLoss(const Decoder& teacher, const LoadedLayers& head, const WindowedText& text,
    std::span<const TaughtWindow> taught, double scale)
{
    return [&teacher, &head, &text, taught, scale](const LogitTile& logits) {
        const auto count = logits.values.rows, vocabulary = logits.values.columns, hidden = teacher.hidden;
        const auto first = logits.firstPosition - text.windows[logits.window].firstScored;
        const auto inputs = taught[logits.window].subspan(first * hidden, count * hidden);
        std::vector<float> ofTeacher(count * vocabulary);
        const kernels::MutableMatrix rows {ofTeacher.data(), count, vocabulary, vocabulary};
        kernels::multiplyByTransposed({inputs.data(), count, hidden, hidden}, head.matrix(), rows);
        addBias(head.bias, rows);
        if (teacher.outputCap > 0.0F)
            softCap(ofTeacher, teacher.outputCap);
        double loss = 0.0;
        for (std::size_t row = 0; row < count; ++row) {
            const std::span values(logits.values.row(row), vocabulary);
            loss += scale * divergenceBackward(values, std::span(ofTeacher).subspan(row * vocabulary, vocabulary));
            for (auto& value : values)
                value *= static_cast<float>(scale);
        }
        return loss;
    };
}

std::uint64_t distillationBytes(const Decoder& teacher, std::uint64_t positions, std::uint64_t threads)
{
    const auto vocabulary = std::uint64_t {teacher.vocabulary};
    return ((vocabulary + positions) * teacher.hidden * sizeof(float))
        + (threads * vocabulary * ((predictionsPerTile * sizeof(float)) + (2 * sizeof(double))));
}

}  // namespace quantloupe
