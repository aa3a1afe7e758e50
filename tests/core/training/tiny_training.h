// SPDX-License-Identifier: GPL-3.0-or-later
// A two-layer model and a task that it can learn.
#pragma once

#include "core/analysis/quantized_activations.h"
#include "core/training/train.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/text_windows.h"
#include "tests/support/uniform_plan.h"

#include <QTemporaryDir>

#include <memory>
#include <random>
#include <vector>

namespace quantloupe::tests {

inline constexpr std::uint32_t kVocabulary = 61;

/// Each token says what follows it.
inline WindowedText task(std::size_t windows, std::size_t length, unsigned seed)
{
    std::mt19937 random(seed);
    std::vector<std::vector<std::uint32_t>> sequences(windows);
    for (auto& sequence : sequences)
        for (auto token = std::uint32_t(random() % kVocabulary); sequence.size() < length;
             token = (token * 3 + 7) % kVocabulary)
            sequence.push_back(token);
    return windowsOf(sequences);
}

struct TinyTraining {
    TinyDecoder m_tiny = tinyFamilies().at("llama");
    QTemporaryDir m_folder;
    ModelPointer m_model;
    Decoder m_decoder;
    const WindowedText m_text = task(8, 12, 1), m_heldOut = task(3, 12, 2);

    /// "int4:g16", or "int4:g16/int8:token".
    std::unique_ptr<Training> begin(const char* scheme, const TrainingOptions& options) const
    {
        const auto plan = uniformPlan(*m_model, scheme);
        const auto inputs = quantizedInputs(*m_model, plan, {}).value();
        auto training = Training::begin(m_decoder, plan, m_text, m_heldOut, options, {}, inputs);
        if (!training)
            qFatal("%s", describe(training.error()).c_str());
        return std::move(*training);
    }
    static std::vector<std::vector<float>> valuesOf(Training& training)
    {
        std::vector<std::vector<float>> all;
        for (const auto* values : training.student().allValues())
            all.push_back(values->values);
        return all;
    }

    void open()
    {
        m_model = openTiny(m_tiny, m_folder.path().toStdString()).value();
        m_decoder = describeDecoder(*m_model).value();
    }
};

}  // namespace quantloupe::tests
