// SPDX-License-Identifier: GPL-3.0-or-later
// The bundled sample, from nothing: stories, a tokenizer learned from them, and a small Llama trained on them.
#pragma once

#include "core/base/progress.h"
#include "core/sample/untrained_model.h"
#include "core/tokenizers/tokenizer.h"
#include "core/training/pretrain.h"

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

struct SampleOptions {
    std::uint64_t seed = 0;  ///< of stories, first weights and the order of windows
    std::uint64_t steps = 600;
    unsigned threads = 0;
};

struct SampleFile {
    std::string name, content;
};

/// What the sample is trained on and judged by, and the files that follow from the seed alone: the same on every
/// machine.
struct SampleTexts {
    std::vector<SampleFile> files {};  ///< text.txt, tokenizer.json, tokenizer_config.json, config.json
    WindowedText training {}, heldOut {};
    LlamaFigures figures {};
};

struct TrainedSample {
    std::vector<SampleFile> files {};  ///< of the folder; the weights come last
    PretrainingHistory history {};
};

/// Stories for training and others to judge by, and a tokenizer learned from the former. Errors: those of reading the
/// tokenizer, which there are none of.
Result<SampleTexts> sampleTexts(std::uint64_t seed);

/// What the training starts from.
Result<UntrainedModel> untrainedSample(const SampleTexts& texts, std::uint64_t seed);

/// How the sample is trained.
PretrainingOptions sampleTraining(const SampleOptions& options);

/// Trains the sample: about four minutes of one processor core. `afterEvaluation` is called on the calling thread.
/// Errors: those of Pretraining.
Result<TrainedSample> trainSample(const SampleOptions& options, std::stop_token stop, Progress& progress,
    const std::function<void(const PretrainingHistory&)>& afterEvaluation = {});

}  // namespace quantloupe
