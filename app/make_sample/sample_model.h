// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

namespace quantloupe {

/// The bundled sample: a synthetic checkpoint with the shapes of a small Llama and weights drawn from a fixed seed.
///
/// It has never seen text. What it has is what makes real checkpoints hard to quantize: tails heavier than a normal
/// distribution, more so in the first and last blocks; a few input channels several times larger than the rest in front
/// of down_proj and q_proj; output channels of uneven size; single weights far outside. Every draw is integer hashing
/// (splitmix64) and IEEE double arithmetic without libm, so every machine writes the same bytes.
struct SampleModel {
    std::string safetensors;  ///< model.safetensors: BF16, metadata quantloupe.synthetic = "true"
    std::string config;       ///< config.json
};

SampleModel makeSampleModel();

}  // namespace quantloupe
